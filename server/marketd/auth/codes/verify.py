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
from marketd.kernel.db.transactor import Transactor, Work
from marketd.kernel.db.uow import UnitOfWork

LIFETIME: Final = timedelta(minutes=10)
TRIES: Final = 5
# Five tries at five codes an hour: a guess in a million has one chance in 40,000 an hour.
SENDS: Final = 5
WINDOW: Final = timedelta(hours=1)


class Verifying:
    """The two use cases around verification codes."""

    def __init__(self, tx: Transactor, hasher: CodeHasher, letters: Letters) -> None:
        self._tx = tx
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
        self._letters.verification_code(uow, channel, target, code, LIFETIME)
        await log.record(uow, caller, "user", account.user_id)
        return end

    async def prepare_verify(self, caller: Caller, channel: VerificationChannel, code: str) -> Work[Account]:
        """Count the try; the work that marks the channel as verified and gives the account as it is then.

        The try counts in a transaction of its own: a refusal would roll it back. Both raise CodeWrong and NotFound.
        """
        presented = self._hasher.verification(caller.known_user_id, channel, code)
        right = await self._tx.run("auth.try_code", lambda uow: self._try(uow, caller, channel, presented))
        if not right:
            raise CodeWrong("code")
        return lambda uow: self._verify(uow, caller, channel, presented)

    async def _try(self, uow: UnitOfWork, caller: Caller, channel: VerificationChannel, presented: bytes) -> bool:
        account = await lock_active(uow, caller.known_user_id)
        sent = await verifications.take_try(uow.connection, account.user_id, channel, uow.now, TRIES)
        target, _ = _target(account, channel)
        return sent is not None and sent.target == target and hmac.compare_digest(sent.code_hash, presented)

    async def _verify(self, uow: UnitOfWork, caller: Caller, channel: VerificationChannel, presented: bytes) -> Account:
        account = await lock_active(uow, caller.known_user_id)
        target, _ = _target(account, channel)
        sent = SentCode(target, presented)
        if not await verifications.spend(uow.connection, account.user_id, channel, sent, uow.now):
            # Used, or replaced by another one, since it was tried.
            raise CodeWrong("code")
        await accounts.mark_verified(uow.connection, account.user_id, channel, uow.now)
        await log.record(uow, caller, "user", account.user_id)
        return await find_account(uow.connection, account.user_id)


def _target(account: Account, channel: VerificationChannel) -> tuple[str, bool]:
    if channel is VerificationChannel.EMAIL:
        return account.email, account.email_verified
    return account.phone, account.phone_verified
