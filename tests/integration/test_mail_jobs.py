"""Letters as jobs: against a real SMTP server that fails and recovers, over TLS, and as files that read back."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.work.job_runner import JobRunner
from marketd.mail.compose import sender_address
from marketd.mail.directory import DirectoryMailer
from marketd.mail.errors import MailUnavailable
from marketd.mail.jobs import SEALED, MessageJobs, mail_job, sms_job
from marketd.mail.ports import Mailer, ShortMessage
from marketd.mail.render import Renderer, Shop, Wording
from marketd.mail.smtp import SmtpMailer, SmtpServer, parse_url
from structlog.testing import capture_logs

from tests.canaries import MARK
from tests.certificates import Authority
from tests.worlds.jobs import run_due, send_by

SMTP_PASSWORD = f"a secret {MARK}"
TO = "kim@example.com"
VALUES = {"code": SEALED + "319284", "minutes": "10"}


@dataclass
class Mailbox:
    """What the server does: answers from `answers` in turn, then takes everything."""

    answers: list[str] = field(default_factory=list)
    recipient_answers: list[str] = field(default_factory=list)
    tries: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.recipient_answers:
            return self.recipient_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.tries += 1
        if self.answers:
            return self.answers.pop(0)
        self.encrypted.append(session.ssl is not None)
        self.letters.append(_read(envelope.content))
        return "250 OK"


def _read(content: object) -> EmailMessage:
    assert isinstance(content, bytes)
    return message_from_bytes(content, policy=default)


Serve = Callable[..., Awaitable[tuple[Mailbox, int]]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts SMTP servers on free ports; `context` encrypts from the first byte."""
    running: list[asyncio.Server] = []

    async def start(
        mailbox: Mailbox | None = None, *, context: ssl.SSLContext | None = None, **options: Any
    ) -> tuple[Mailbox, int]:
        box = mailbox or Mailbox()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(box, loop=loop, **options), "127.0.0.1", 0, ssl=context)
        running.append(server)
        return box, server.sockets[0].getsockname()[1]

    yield start
    for server in running:
        server.close()


class Phone:
    """An SMS provider of ours: takes what it is given, after failing `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.messages: list[ShortMessage] = []

    async def send(self, message: ShortMessage) -> None:
        if self.failures:
            self.failures -= 1
            raise MailUnavailable("the provider is away")
        self.messages.append(message)


def post_office(mailer: Mailer, phone: Phone | None = None) -> MessageJobs:
    return MessageJobs(
        renderer=Renderer(Shop("Emma")),
        mailer=mailer,
        sms=phone or Phone(),
        sender=sender_address("shop@emma.example", "Emma"),
        reveal=lambda text: text.removeprefix(SEALED),
        clock=SystemClock(),
    )


@pytest.fixture
def enqueue(tx: Transactor) -> Callable[[Job], Awaitable[None]]:
    async def write(job: Job) -> None:
        async def work(uow: UnitOfWork) -> None:
            uow.enqueue(job)

        await tx.run("test.enqueue", work)

    return write


async def make_due(tx: Transactor) -> None:
    """Let no retry wait."""
    await tx.run("test.due", lambda uow: uow.connection.execute("UPDATE jobs SET run_time = $1", uow.now))


async def jobs_left(tx: Transactor) -> list[Any]:
    return list(
        await tx.read(lambda unit: unit.connection.fetch("SELECT attempts, last_error, payload::text FROM jobs"))
    )


async def test_a_letter_is_sent_again_until_the_server_takes_it(
    tx: Transactor, serve: Serve, enqueue: Callable[[Job], Awaitable[None]]
) -> None:
    mailbox, port = await serve(Mailbox(answers=["451 try later for kim@example.com", "452 full"]))
    runner = JobRunner(tx)
    send_by(post_office(SmtpMailer(parse_url(f"smtp://127.0.0.1:{port}"))), runner)
    await enqueue(mail_job(Wording.VERIFICATION_CODE, TO, VALUES))
    with capture_logs() as lines:
        assert await run_due(runner)
        (waiting,) = await jobs_left(tx)
        assert (waiting["attempts"], waiting["last_error"]) == (1, "MailUnavailable: the SMTP server answered 451")
        assert "sealed:" in waiting["payload"]
        for _ in range(2):
            await make_due(tx)
            assert await run_due(runner)
    assert mailbox.tries == 3
    (letter,) = mailbox.letters
    assert letter["To"] == TO
    assert letter["From"] == "Emma <shop@emma.example>"
    assert "319284" in letter["Subject"]
    body = letter.get_body(("html",))
    assert body is not None
    assert "319284" in body.get_content()
    assert await jobs_left(tx) == []
    # What failed is in the log; who it was for, what was in it and what the server said is not.
    assert len([line for line in lines if line["event"] == "job_failed"]) == 2
    assert TO not in str(lines)
    assert "319284" not in str(lines)


async def test_a_server_that_is_down_costs_a_retry_and_the_repeat_has_the_same_id(
    tx: Transactor, serve: Serve, enqueue: Callable[[Job], Awaitable[None]]
) -> None:
    mailbox, port = await serve()
    runner = JobRunner(tx)
    down = post_office(SmtpMailer(parse_url("smtp://127.0.0.1:1")))
    up = post_office(SmtpMailer(parse_url(f"smtp://127.0.0.1:{port}")))
    send_by(down, runner)
    await enqueue(mail_job(Wording.PASSWORD_CHANGED, TO, {"time": "2026-11-22T10:00:00+00:00"}))
    await run_due(runner)
    assert len(await jobs_left(tx)) == 1
    send_by(up, runner)
    await make_due(tx)
    await run_due(runner)
    (payload,) = [letter["Message-ID"] for letter in mailbox.letters]
    # A crash between sending and forgetting the job: the same letter once more, and mailboxes know it.
    job = mail_job(Wording.PASSWORD_CHANGED, TO, {"time": "2026-11-22T10:00:00+00:00"})
    for _ in range(2):
        await up.send_letter(job.payload)
    assert mailbox.letters[1]["Message-ID"] == mailbox.letters[2]["Message-ID"] != payload


async def test_a_mailbox_that_does_not_exist_ends_the_job_and_its_address_stays_out_of_the_log(
    tx: Transactor, serve: Serve, enqueue: Callable[[Job], Awaitable[None]]
) -> None:
    mailbox, port = await serve(Mailbox(recipient_answers=["550 no kim@example.com here"]))
    runner = JobRunner(tx)
    send_by(post_office(SmtpMailer(parse_url(f"smtp://127.0.0.1:{port}"))), runner)
    await enqueue(mail_job(Wording.VERIFICATION_CODE, TO, VALUES))
    with capture_logs() as lines:
        await run_due(runner)
    assert await jobs_left(tx) == []
    assert mailbox.letters == []
    assert [line["event"] for line in lines] == ["letter_refused"]
    assert TO not in str(lines)


async def test_what_may_pass_is_tried_again_whatever_the_server_says_and_its_words_are_not_kept(serve: Serve) -> None:
    letter = mail_job(Wording.VERIFICATION_CODE, TO, VALUES).payload

    async def tried(port: int, **more: Any) -> str:
        mailer = SmtpMailer(SmtpServer("127.0.0.1", port, implicit_tls=False, starttls=None, **more), seconds=2)
        with pytest.raises(MailUnavailable) as raised:
            await post_office(mailer).send_letter(letter)
        return str(raised.value)

    _, port = await serve(Mailbox(recipient_answers=[f"450 {TO} is busy"]))
    assert await tried(port) == "the SMTP server answered 450"
    _, port = await serve(authenticator=lambda *_: AuthResult(success=False, handled=False), auth_require_tls=False)
    assert await tried(port, username="shop", password=SMTP_PASSWORD) == "the SMTP server answered 535"
    _, port = await serve(Mailbox(answers=[f"421 {TO} later"]))
    assert "421" in await tried(port)


async def test_a_server_that_says_nothing_is_not_waited_for_longer_than_a_letter_may_take() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    mailer = SmtpMailer(SmtpServer("127.0.0.1", silent.sockets[0].getsockname()[1], False, starttls=None), seconds=0.1)
    async with asyncio.timeout(20):
        with pytest.raises(MailUnavailable):
            await post_office(mailer).send_letter(mail_job(Wording.VERIFICATION_CODE, TO, VALUES).payload)
    silent.close()


async def test_a_code_that_is_over_is_not_sent(
    tx: Transactor, serve: Serve, enqueue: Callable[[Job], Awaitable[None]]
) -> None:
    mailbox, port = await serve()
    runner = JobRunner(tx)
    send_by(post_office(SmtpMailer(parse_url(f"smtp://127.0.0.1:{port}"))), runner)
    over = datetime.now(UTC) - timedelta(seconds=1)
    await enqueue(mail_job(Wording.VERIFICATION_CODE, TO, VALUES, expire_time=over))
    await run_due(runner)
    assert await jobs_left(tx) == []
    assert mailbox.tries == 0


async def test_a_letter_to_nobody_is_written_like_any_other_and_not_carried(tmp_path: Path) -> None:
    revealed: list[str] = []
    office = post_office(DirectoryMailer(tmp_path))

    def reveal(text: str) -> str:
        revealed.append(text)
        return text.removeprefix(SEALED)

    office._reveal = reveal
    values = {**VALUES, "code": f"{SEALED}319284"}
    for to_nobody in (True, False):
        await office.send_letter(mail_job(Wording.VERIFICATION_CODE, TO, values, to_nobody=to_nobody).payload)
        assert len(list(tmp_path.iterdir())) == (not to_nobody)
    assert len(revealed) == 2


async def test_an_sms_is_sent_again_until_the_provider_takes_it(
    tx: Transactor, enqueue: Callable[[Job], Awaitable[None]], tmp_path: Path
) -> None:
    phone, runner = Phone(failures=1), JobRunner(tx)
    send_by(post_office(DirectoryMailer(tmp_path), phone), runner)
    await enqueue(sms_job(Wording.VERIFICATION_CODE, "+4930123456", VALUES))
    await run_due(runner)
    await make_due(tx)
    await run_due(runner)
    (message,) = phone.messages
    assert message.to == "+4930123456"
    assert message.text.startswith("319284 is your Emma code.")
    assert await jobs_left(tx) == []


async def test_the_folder_keeps_each_letter_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mail"
    office = post_office(DirectoryMailer(folder))
    job = mail_job(Wording.VERIFICATION_CODE, "kim@example.com", VALUES)
    for _ in range(2):
        await office.send_letter(job.payload)
    (path,) = folder.iterdir()
    assert path.suffix == ".eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    letter = _read(path.read_bytes())
    assert letter["To"] == "kim@example.com"
    for kind in ("plain", "html"):
        body = letter.get_body((kind,))
        assert body is not None
        assert "319284" in body.get_content()


async def test_a_folder_that_cannot_be_written_to_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    with pytest.raises(MailUnavailable):
        await post_office(DirectoryMailer(tmp_path / "mail")).send_letter(
            mail_job(Wording.VERIFICATION_CODE, TO, VALUES).payload
        )


class TestEncryption:
    """SMTP over TLS, with an authority that this machine does not trust unless the test says so."""

    async def test_nothing_is_sent_to_another_machine_that_offers_no_encryption(self, serve: Serve) -> None:
        mailbox, port = await serve()
        server = SmtpServer("127.0.0.1", port, implicit_tls=False, starttls=True)
        with pytest.raises(MailUnavailable):
            await post_office(SmtpMailer(server)).send_letter(mail_job(Wording.VERIFICATION_CODE, TO, VALUES).payload)
        assert mailbox.tries == 0

    @pytest.mark.parametrize("implicit", [False, True])
    async def test_a_server_with_a_strangers_certificate_gets_no_letter_and_no_password(
        self, serve: Serve, server_context: ssl.SSLContext, implicit: bool
    ) -> None:
        passwords: list[bytes] = []
        mailbox, port = await serve(
            **({"context": server_context} if implicit else {"tls_context": server_context}),
            authenticator=lambda *given: _note(passwords, given[-1]),
        )
        server = SmtpServer("127.0.0.1", port, implicit, "shop", SMTP_PASSWORD, not implicit)
        with pytest.raises(MailUnavailable):
            await post_office(SmtpMailer(server)).send_letter(mail_job(Wording.VERIFICATION_CODE, TO, VALUES).payload)
        assert mailbox.tries == 0
        assert passwords == []

    @pytest.mark.parametrize("implicit", [False, True])
    async def test_a_letter_goes_encrypted_and_signed_in(
        self,
        serve: Serve,
        server_context: ssl.SSLContext,
        trusted: None,
        implicit: bool,
    ) -> None:
        passwords: list[bytes] = []
        mailbox, port = await serve(
            **({"context": server_context} if implicit else {"tls_context": server_context}),
            authenticator=lambda *given: _note(passwords, given[-1]),
            auth_required=True,
            auth_require_tls=not implicit,  # aiosmtpd does not see that the connection is encrypted
        )
        server = SmtpServer("127.0.0.1", port, implicit, "shop", SMTP_PASSWORD, not implicit)
        await post_office(SmtpMailer(server)).send_letter(mail_job(Wording.VERIFICATION_CODE, TO, VALUES).payload)
        assert len(mailbox.letters) == 1
        assert passwords == [SMTP_PASSWORD.encode()]


def _note(passwords: list[bytes], given: LoginPassword) -> AuthResult:
    passwords.append(given.password)
    return AuthResult(success=True)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who signs the SMTP server's certificate."""
    return Authority()


@pytest.fixture
def server_context(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    """TLS for an SMTP server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.server().write(tmp_path))
    return context


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts the authority: OpenSSL's own way of saying so."""
    path = tmp_path / "trusted.pem"
    path.write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
