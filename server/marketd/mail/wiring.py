"""Mail and SMS as the settings say: who carries them, in whose name, and which jobs they are."""

from __future__ import annotations

from marketd.auth.letters import Letters
from marketd.config import Environment
from marketd.mail.choose import choose_mailer, choose_sms
from marketd.mail.compose import sender_address
from marketd.mail.jobs import Post
from marketd.mail.render import Renderer, Shop
from marketd.process.process import Parts


def add_post(parts: Parts, letters: Letters) -> None:
    """Take on the jobs that send what `letters` writes. Raises MailMisconfigured."""
    settings = parts.settings
    smtp_url = settings.smtp_url.get_secret_value() if settings.smtp_url is not None else None
    shop = Shop(settings.shop_name, settings.support_email, settings.password_reset_url)
    post = Post(
        renderer=Renderer(shop, settings.mail_templates),
        mailer=choose_mailer(smtp_url, settings.mail_folder),
        sms=choose_sms(settings.sms_sender, development=settings.env is Environment.DEVELOPMENT),
        sender=sender_address(settings.mail_from, settings.shop_name),
        reveal=letters.reveal,
        clock=parts.clock,
    )
    post.register(parts.jobs)
