"""The ports that carry messages out: letters by a Mailer, short messages by an SmsSender."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """A finished letter. `letter_id` is the same when it is sent again; `message` has every header it needs."""

    letter_id: str
    template: str
    message: EmailMessage


class Mailer(Protocol):
    """Hands letters to whoever delivers them."""

    async def send(self, letter: Letter) -> None:
        """Return once the other side has taken the letter.

        It may be called again with the same `letter_id` after a crash, and then should not deliver twice where it can
        tell. It ends within 25 s. Raises MailUnavailable (tried again later) or MessageRefused (given up).
        """
        ...


@dataclass(frozen=True, slots=True)
class ShortMessage:
    """A finished SMS: `to` in E.164 (`+4930123456`); `message_id` is the same when it is sent again.

    `text` may hold a one-time code: whoever carries it must not log it.
    """

    message_id: str
    template: str
    to: str
    text: str


class SmsSender(Protocol):
    """Hands short messages to a provider.

    A provider is plugged in with MARKETD_SMS_SENDER=`package.module:factory`: a callable without arguments that gives
    an object with this method. It reads its own credentials. Give `message_id` to the provider as its idempotency key.
    """

    async def send(self, message: ShortMessage) -> None:
        """Return once the provider has taken the message; the same promises and errors as Mailer.send."""
        ...
