"""Sending codes of six digits: one is out for each channel and purpose, and so many in an hour.

So many to one address or phone as well, whichever accounts ask: many may give a stranger's, and each would have letters
sent there, or guess at a code that proves it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from marketd.auth.accounts.values import Account
from marketd.auth.codes.credentials import CodeHasher, new_code
from marketd.auth.codes.model import CodePurpose, VerificationChannel
from marketd.auth.codes.repository import attempts, verifications
from marketd.auth.codes.values import AttemptRules, SentCode
from marketd.auth.errors import TooManyCodes
from marketd.auth.letters import Letters
from marketd.kernel.db.uow import UnitOfWork

LIFETIME: Final = timedelta(minutes=10)
TRIES: Final = 5
# Five tries at five codes an hour: a guess in a million has one chance in 40,000 an hour. Codes for what the account
# has and codes for a change are counted apart: neither keeps the other from being sent.
SENDS: Final = 5
WINDOW: Final = timedelta(hours=1)
TO_ONE_TARGET: Final = 10
"""So many codes of a purpose reach one address or phone before there is an hour's pause."""
_RULES: Final = AttemptRules(free=TO_ONE_TARGET, limit=TO_ONE_TARGET, forget=WINDOW)


class CodeSender:
    """Makes codes, writes down what they are compared with, and sends them."""

    def __init__(self, hasher: CodeHasher, letters: Letters) -> None:
        self._hasher = hasher
        self._letters = letters

    async def send(
        self, uow: UnitOfWork, account: Account, channel: VerificationChannel, purpose: CodePurpose, target: str
    ) -> datetime:
        """Send a locked account a code in place of the one before; when it stops being good. Raises TooManyCodes."""
        code, end, user_id = new_code(), uow.now + LIFETIME, account.user_id
        sent = SentCode(purpose, target, self._hasher.verification(user_id, channel, code))
        if not await verifications.put(uow.connection, user_id, channel, sent, uow.now, end, WINDOW, SENDS):
            began = await verifications.window_time(uow.connection, user_id, channel, purpose) or uow.now
            raise TooManyCodes(max((began + WINDOW - uow.now).total_seconds(), 1.0))
        # Last: of the rows that are locked here, this one alone is other accounts' too.
        name = self._hasher.name(f"{channel.value} {purpose.value}", target)
        if not await attempts.count(uow.connection, name, uow.now, _RULES):
            until = await attempts.next_time(uow.connection, name) or uow.now
            raise TooManyCodes(max((until - uow.now).total_seconds(), 1.0))
        self._letters.verification_code(uow, account, channel, target, code, LIFETIME)
        return end
