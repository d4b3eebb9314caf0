"""How mail is put together: who carries letters and short messages, in whose name, and which jobs they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from marketd.config import Environment
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.slice import Parts, Slice
from marketd.mail.choose import choose_mailer, choose_sms
from marketd.mail.compose import sender_address
from marketd.mail.jobs import MAIL, SMS, MessageJobs
from marketd.mail.render import Renderer, Shop

SERVICERS: Final[tuple[type, ...]] = ()
INVARIANTS: Final[tuple[Invariant, ...]] = ()


def build(parts: Parts, *, revealer: Callable[[Parts], Callable[[str], str]]) -> Slice:
    """Mail's part of a process. `revealer` gives what opens values that were sealed. Raises MailMisconfigured."""
    settings = parts.settings
    smtp_url = settings.smtp_url.get_secret_value() if settings.smtp_url is not None else None
    undo_url = f"{settings.public_url}/undo-email-change#token={{token}}" if settings.public_url else ""
    shop = Shop(settings.shop_name, settings.support_email, settings.password_reset_url, undo_url)
    messages = MessageJobs(
        renderer=Renderer(shop, settings.mail_templates),
        mailer=choose_mailer(smtp_url, settings.mail_folder),
        sms=choose_sms(settings.sms_sender, development=settings.env is Environment.DEVELOPMENT),
        sender=sender_address(settings.mail_from, settings.shop_name),
        reveal=revealer(parts),
        clock=parts.clock,
    )
    return Slice(outside_jobs={MAIL: messages.send_letter, SMS: messages.send_sms})
