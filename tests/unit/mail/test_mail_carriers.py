"""Who carries messages: which one the settings mean, what SMTP addresses say, and what the SMS log keeps to itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketd.mail.choose import choose_mailer, choose_sms
from marketd.mail.directory import DirectoryMailer
from marketd.mail.errors import MailMisconfigured
from marketd.mail.ports import ShortMessage
from marketd.mail.smtp import SmtpMailer, SmtpServer, parse_url
from structlog.testing import capture_logs

MESSAGE = ShortMessage("1", "verification_code", "+4930123456", "482913 is your code.")


class Provider:
    """A provider as a shop would write it."""

    sent: list[ShortMessage]

    def __init__(self) -> None:
        self.sent = []

    async def send(self, message: ShortMessage) -> None:
        self.sent.append(message)


def test_smtps_is_encrypted_from_the_start_and_smtp_by_starttls_or_not_at_all() -> None:
    assert parse_url("smtps://mail.example") == SmtpServer("mail.example", 465, True, starttls=False)
    assert parse_url("smtp://mail.example") == SmtpServer("mail.example", 587, False, starttls=True)
    assert parse_url("smtp://127.0.0.1:2525") == SmtpServer("127.0.0.1", 2525, False, starttls=None)
    assert parse_url("smtp://u%40shop:p%2Fw@mail.example:25/") == SmtpServer(
        "mail.example", 25, False, "u@shop", "p/w", True
    )


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(parse_url("smtp://user:secret@mail.example"))


@pytest.mark.parametrize(
    "url", ["http://mail.example", "smtp://", "mail.example:25", "smtp://h:99999", "smtp://h/x", "smtp://h?a=b"]
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(MailMisconfigured) as caught:
        parse_url(url)
    assert "MARKETD_SMTP_URL" in str(caught.value)


def test_a_url_means_smtp_and_none_means_the_folder(tmp_path: Path) -> None:
    assert isinstance(choose_mailer(None, tmp_path), DirectoryMailer)
    assert isinstance(choose_mailer("smtp://mail.example", tmp_path), SmtpMailer)


async def test_the_sms_log_shows_the_text_in_development_and_nothing_elsewhere() -> None:
    with capture_logs() as lines:
        await choose_sms(None, development=True).send(MESSAGE)
        await choose_sms(None, development=False).send(MESSAGE)
    assert lines[0]["text"] == MESSAGE.text
    assert "482913" not in str(lines[1])
    assert "+4930123456" not in str(lines[1])
    assert lines[1]["template"] == "verification_code"


async def test_a_provider_is_plugged_in_by_name() -> None:
    sender = choose_sms(f"{__name__}:Provider", development=False)
    assert isinstance(sender, Provider)
    await sender.send(MESSAGE)
    assert sender.sent == [MESSAGE]


@pytest.mark.parametrize("name", ["no.such.module:thing", "marketd.mail.sms:nothing", "builtins:dict"])
def test_a_provider_that_is_none_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(MailMisconfigured, match="MARKETD_SMS_SENDER"):
        choose_sms(name, development=False)
