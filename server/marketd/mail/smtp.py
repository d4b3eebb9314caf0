"""A Mailer that speaks SMTP (the extra `smtp`: aiosmtplib): one connection a letter, encrypted unless on loopback."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiosmtplib

from marketd.mail.errors import MailMisconfigured, MailUnavailable, MessageRefused
from marketd.mail.ports import Letter

_PORTS = {"smtp": 587, "smtps": 465}
# Below nine tenths of the jobs' lease, where the job would be cut off without a word about the SMTP server.
SEND_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where letters are handed over. `implicit_tls`: encrypted from the first byte (smtps), else by STARTTLS."""

    host: str
    port: int
    implicit_tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    starttls: bool | None = True
    """True: not without; None: when the server offers it, which is enough on loopback only."""


def parse_url(url: str) -> SmtpServer:
    """Read `smtp(s)://[user:password@]host[:port]`. Raises MailMisconfigured.

    smtp: STARTTLS, without which nothing is sent unless the host is this machine itself; port 587. smtps: port 465.
    User and password are percent-encoded where they hold `@`, `:` or `/`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MailMisconfigured("MARKETD_SMTP_URL is not a URL.") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise MailMisconfigured("MARKETD_SMTP_URL must be smtp://user:password@host:port, or smtps://…")
    implicit = parts.scheme == "smtps"
    return SmtpServer(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        implicit_tls=implicit,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        starttls=False if implicit else None if _is_loopback(parts.hostname) else True,
    )


class SmtpMailer:
    """Sends letters through an SMTP server."""

    def __init__(self, server: SmtpServer, *, seconds: float = SEND_SECONDS) -> None:
        self._server = server
        self._seconds = seconds

    async def send(self, letter: Letter) -> None:
        """Hand the letter over.

        A 5xx to the recipient or to the letter is final (MessageRefused); everything else, a refused login included,
        is MailUnavailable: it may be mended while the job waits. The server's words stay out of both: they name people.
        """
        server = self._server
        try:
            async with asyncio.timeout(self._seconds):
                await aiosmtplib.send(
                    letter.message,
                    hostname=server.host,
                    port=server.port,
                    username=server.username,
                    password=server.password,
                    use_tls=server.implicit_tls,
                    start_tls=server.starttls,
                    timeout=self._seconds,
                )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            _give_up_or_retry(error.code for error in refused.recipients)
        except aiosmtplib.SMTPDataError as refused:
            _give_up_or_retry([refused.code])
        except aiosmtplib.SMTPResponseException as refused:
            raise MailUnavailable(f"the SMTP server answered {refused.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnavailable(f"the SMTP server could not be used ({type(error).__name__})") from None


def _give_up_or_retry(codes: Iterable[int]) -> None:
    answered = list(codes)
    words = f"the SMTP server answered {', '.join(str(code) for code in answered)}"
    if all(500 <= code < 600 for code in answered):
        raise MessageRefused(words) from None
    raise MailUnavailable(words) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
