"""Which mailer and which SMS sender the settings mean. aiosmtplib is imported only where SMTP is used."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from marketd.mail.directory import DirectoryMailer
from marketd.mail.errors import MailMisconfigured
from marketd.mail.ports import Mailer, SmsSender
from marketd.mail.sms import LoggingSms, load_sender


def choose_mailer(smtp_url: str | None, folder: Path) -> Mailer:
    """SMTP with a URL, else the folder. Raises MailMisconfigured."""
    if smtp_url is None:
        return DirectoryMailer(folder)
    try:
        smtp = importlib.import_module("marketd.mail.smtp")
    except ModuleNotFoundError as error:
        if error.name != "aiosmtplib":
            raise
        raise MailMisconfigured(
            "MARKETD_SMTP_URL is set, and aiosmtplib is not installed; `pip install 'marketd[smtp]'`."
        ) from None
    return cast("Mailer", smtp.SmtpMailer(smtp.parse_url(smtp_url)))


def choose_sms(sender: str | None, *, development: bool) -> SmsSender:
    """The provider that is named, else the log. Raises MailMisconfigured."""
    return LoggingSms(show_text=development) if sender is None else load_sender(sender)
