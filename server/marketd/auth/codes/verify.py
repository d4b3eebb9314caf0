"""Proving that an e-mail address or a phone is one's own, by a code of six digits."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Final

from marketd.audit import log
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.find import find_account, lock_active
from marketd.auth.accounts.values import Account
from marketd.auth.codes.credentials import CodeHasher, new_code
from marketd.auth.codes.model import VerificationChannel
from marketd.auth.codes.repository import verifications
from marketd.auth.codes.values import SentCode
from marketd.auth.errors import CodeWrong, NothingCarriesSms, NothingToVerify, TooManyCodes
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition
from marketd.kernel.db.uow import UnitOfWork

LIFETIME: Final = timedelta(minutes=10)
TRIES: Final = 5
# Five tries at five codes an hour: a guess in a million has one chance in 40,000 an hour.
SENDS: Final = 5
WINDOW: Final = timedelta(hours=1)


class Verifying:
    """The two use cases around verification codes."""

    def __init__(self, hasher: CodeHasher, letters: Letters) -> None:
        self._hasher = hasher
        self._letters = letters

    async def send(self, uow: UnitOfWork, caller: Caller, channel: VerificationChannel) -> datetime:
        """Send a code in place of the one before; when it stops being good.

        Raises NothingToVerify, NothingCarriesSms, IllegalTransition when the channel is verified, TooManyCodes, and
        NotFound for services.
        """
        account = await lock_active(uow, caller.known_user_id)
        target, is_verified = _target(account, channel)
        if not target:
            raise NothingToVerify
        if channel is VerificationChannel.PHONE and not self._letters.sends_sms:
            raise NothingCarriesSms
        if is_verified:
            raise IllegalTransition(channel.value.lower(), "VERIFIED", [])
        code, end = new_code(), uow.now + LIFETIME
        sent = SentCode(target, self._hasher.verification(account.user_id, channel, code))
        if not await verifications.put(uow.connection, account.user_id, channel, sent, uow.now, end, WINDOW, SENDS):
            began = await verifications.window_time(uow.connection, account.user_id, channel) or uow.now
            raise TooManyCodes(max((began + WINDOW - uow.now).total_seconds(), 1.0))
        self._letters.verification_code(uow, account, channel, target, code, LIFETIME)
        await log.record(uow, caller, "user", account.user_id)
        return end

    async def verify(
        self, uow: UnitOfWork, caller: Caller, channel: VerificationChannel, code: str
    ) -> Account | CodeWrong:
        """Mark the channel as verified; the account as it is then. Raises NotFound.

        That the code is wrong is returned, not raised: raising it would roll the try back.
        """
        account = await lock_active(uow, caller.known_user_id)
        sent = await verifications.take_try(uow.connection, account.user_id, channel, uow.now, TRIES)
        presented = self._hasher.verification(account.user_id, channel, code)
        target, _ = _target(account, channel)
        if sent is None or sent.target != target or not hmac.compare_digest(sent.code_hash, presented):
            return CodeWrong("code")
        await verifications.spend(uow.connection, account.user_id, channel, uow.now)
        await accounts.mark_verified(uow.connection, account.user_id, channel, uow.now)
        await log.record(uow, caller, "user", account.user_id)
        return await find_account(uow.connection, account.user_id)


def _target(account: Account, channel: VerificationChannel) -> tuple[str, bool]:
    if channel is VerificationChannel.EMAIL:
        return account.email, account.email_verified
    return account.phone, account.phone_verified
