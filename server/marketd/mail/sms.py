"""SMS without a provider: a log line in place of a message, and how a provider of the shop's own is found."""

from __future__ import annotations

import importlib
from typing import cast

import structlog

from marketd.mail.errors import MailMisconfigured
from marketd.mail.ports import ShortMessage, SmsSender

_log = structlog.get_logger(__name__)


class LoggingSms:
    """The default: says in the log that an SMS would have gone out.

    `show_text` is for development alone, where whoever reads the log is the one who asked for the code. Elsewhere the
    line names neither the text nor the number.
    """

    def __init__(self, *, show_text: bool) -> None:
        self._show_text = show_text

    async def send(self, message: ShortMessage) -> None:
        """Log it."""
        if self._show_text:
            _log.info("sms", to=message.to, text=message.text)
        else:
            _log.warning("sms_not_sent", template=message.template, hint="no SMS provider: set MARKETD_SMS_SENDER")


def load_sender(name: str) -> SmsSender:
    """The provider that `package.module:factory` makes. Raises MailMisconfigured."""
    module_name, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MailMisconfigured(f"MARKETD_SMS_SENDER: {name} cannot be imported ({error}).") from error
    sender = factory()
    if not callable(getattr(sender, "send", None)):
        raise MailMisconfigured(f"MARKETD_SMS_SENDER: what {name} makes has no method `send`.")
    return cast("SmsSender", sender)
