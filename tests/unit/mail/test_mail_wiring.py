"""Mail as settings put it together: in whose name letters go out, where to, and what becomes of those that cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from marketd.config import Environment
from marketd.kernel.values.clock import ManualClock
from marketd.mail import wiring
from marketd.mail.compose import compose, sender_address
from marketd.mail.directory import DirectoryMailer
from marketd.mail.errors import MailMisconfigured, MessageRefused
from marketd.mail.jobs import MAIL, SEALED, SMS, mail_job, sms_job
from marketd.mail.ports import Letter, ShortMessage
from marketd.mail.render import MAX_SUBJECT, Content, Renderer, Shop, Wording
from marketd.mail.smtp import SEND_SECONDS
from structlog.testing import capture_logs

from tests.worlds.parts import make_settings

NOW = datetime(2026, 11, 22, 22, 40, tzinfo=UTC)
PHONE = "+4930123456"
RESET_PAGE = "https://emma.example/reset?t={token}"
VALUES = {"code": f"{SEALED}319284", "minutes": "10"}


def built(**changes: Any) -> Any:
    """Mail's jobs as a process with these settings does them."""
    parts: Any = SimpleNamespace(settings=make_settings(**changes), clock=ManualClock(NOW))
    return wiring.build(parts, revealer=lambda _: lambda text: text.removeprefix(SEALED)).outside_jobs


def letters_in(folder: Path) -> list[EmailMessage]:
    """The letters that lie there, by their time."""
    return [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(folder.glob("*.eml"))]


def body_of(letter: EmailMessage, kind: str = "plain") -> str:
    """What stands in it."""
    body = letter.get_body((kind,))
    assert body is not None
    text: str = body.get_content()
    return text


async def test_a_letter_is_the_shops_own_in_every_setting(tmp_path: Path) -> None:
    own = tmp_path / "own" / "de"
    own.mkdir(parents=True)
    (own / "verification_code.txt").write_text("Dein Code ist {{ code }}\n\n{{ code }}\n")
    jobs = built(
        data_dir=tmp_path,
        shop_name="Tante Emma",
        support_email="help@emma.example",
        mail_from="shop@emma.example",
        mail_templates=tmp_path / "own",
        password_reset_url=RESET_PAGE,
        public_url="https://emma.example/shop/",
    )
    code = mail_job(Wording.VERIFICATION_CODE, "kim@example.com", VALUES, locale="de-AT")
    reset = mail_job(Wording.PASSWORD_RESET, "kim@example.com", {"token": "a/b"})
    changed = mail_job(
        Wording.EMAIL_CHANGED,
        "kim@example.com",
        {"time": NOW.isoformat(), "token": "a/b", "hours": "72", "email": "k…"},
    )
    for job in (code, reset, changed):
        await jobs[MAIL](job.payload)
    first, second, third = letters_in(tmp_path / "mail")
    assert (first["From"], first["To"]) == ("Tante Emma <shop@emma.example>", "kim@example.com")
    assert (first["Subject"], first["Content-Language"]) == ("Dein Code ist 319284", "de")
    assert first["Date"].datetime == NOW
    assert "https://emma.example/reset?t=a%2Fb" in body_of(second)
    assert "https://emma.example/shop/undo-email-change#token=a%2Fb" in body_of(third)
    assert "help@emma.example" in body_of(third)
    assert "Tante Emma" in body_of(third, "html")


async def test_machines_are_told_that_a_machine_writes() -> None:
    sender = sender_address("shop@emma.example", "Emma")
    letter = compose(
        Content("s", "t", "h", "en"), letter_id="1", template="t", sender=sender, to="kim@example.com", now=NOW
    )
    headers = {name: letter.message[name] for name in ("Auto-Submitted", "X-Auto-Response-Suppress")}
    assert headers == {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}


@pytest.mark.parametrize("env", Environment)
async def test_a_code_by_sms_stands_in_the_log_where_somebody_develops_and_nowhere_else(env: Environment) -> None:
    with capture_logs() as lines:
        await built(env=env)[SMS](sms_job(Wording.VERIFICATION_CODE, PHONE, VALUES).payload)
    (line,) = lines
    shown = env is Environment.DEVELOPMENT
    assert ("319284" in str(line), PHONE in str(line)) == (shown, shown)
    assert line["log_level"] == ("info" if shown else "warning")


class Provider:
    """An SMS provider that takes nothing from some."""

    taken: list[ShortMessage]

    def __init__(self) -> None:
        Provider.taken = []

    async def send(self, message: ShortMessage) -> None:
        """Take it, unless it is for nobody."""
        if message.to != PHONE:
            raise MessageRefused("no such number")
        Provider.taken.append(message)


async def test_an_sms_that_is_too_late_or_never_taken_is_dropped_and_its_number_stays_out_of_the_log() -> None:
    jobs = built(sms_sender=f"{__name__}:Provider")
    with capture_logs() as lines:
        for late in (timedelta(0), timedelta(seconds=1)):
            await jobs[SMS](sms_job(Wording.VERIFICATION_CODE, PHONE, VALUES, expire_time=NOW - late).payload)
        await jobs[SMS](sms_job(Wording.VERIFICATION_CODE, "+4999", VALUES).payload)
        assert Provider.taken == []
        await jobs[SMS](
            sms_job(Wording.VERIFICATION_CODE, PHONE, VALUES, expire_time=NOW + timedelta(seconds=1)).payload
        )
    assert [message.to for message in Provider.taken] == [PHONE]
    assert [line["event"] for line in lines] == ["message_expired", "message_expired", "sms_refused"]
    assert lines[2] == {
        "event": "sms_refused",
        "log_level": "warning",
        "template": "verification_code",
        "why": "no such number",
    }


def test_a_message_is_tried_for_about_an_hour_and_a_server_has_less_time_than_the_job() -> None:
    for job in (mail_job(Wording.VERIFICATION_CODE, "a@b.example", {}), sms_job(Wording.VERIFICATION_CODE, PHONE, {})):
        assert job.max_attempts == 18
        assert 3_000 <= sum(min(2.0**tries, 300.0) for tries in range(1, 18)) <= 3_600
    assert make_settings().job_lease.total_seconds() * 0.9 > SEND_SECONDS >= 10


def test_a_subject_is_cut(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "verification_code.txt").write_text("{{ code }}\n\n{{ code }}\n")
    subject = Renderer(Shop("Emma"), tmp_path).letter(Wording.VERIFICATION_CODE, "en", {"code": "x" * 999}).subject
    assert subject == "x" * MAX_SUBJECT
    assert MAX_SUBJECT == 150


async def test_a_letter_that_could_not_be_written_whole_is_not_there(tmp_path: Path) -> None:
    class Broken(EmailMessage):
        def as_bytes(self, *args: Any, **kwargs: Any) -> bytes:
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await DirectoryMailer(tmp_path).send(Letter("1", "t", Broken()))
    assert list(tmp_path.glob("*.eml")) == []


def test_what_the_settings_name_and_is_not_there_keeps_a_process_from_starting() -> None:
    for wrong in ({"mail_from": "nobody"}, {"sms_sender": "no.such:thing"}, {"smtp_url": "http://mail.example"}):
        with pytest.raises(MailMisconfigured, match="MARKETD_"):
            built(**wrong)
