"""What goes wrong with mail and SMS. None is a refusal: nobody waits for a letter in a call.

Their texts end in the log and in the jobs table, so they name no recipient and nothing of what was to be sent.
"""

from __future__ import annotations

from marketd.kernel.slice import CannotStart


class MailUnavailable(Exception):
    """It could not be handed over now; the job tries again later."""


class MessageRefused(Exception):
    """It will never be taken (no such mailbox, no such number); trying again would only harm the sender's name."""


class MailMisconfigured(CannotStart):
    """The settings name something that is not there; the message says what to change."""
