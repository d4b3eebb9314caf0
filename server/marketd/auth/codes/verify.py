"""Proving that an e-mail address or a phone is one's own, by a code of six digits."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Final

from marketd.audit import log
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import AccountRepository, AccountRow
from marketd.auth.codes.credentials import Channel, CodeHasher, new_code
from marketd.auth.codes.repository import CodeRepository
from marketd.auth.errors import CodeWrong, NothingCarriesSms, NothingToVerify, TooManyCodes
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.db.transactor import Transactor
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

    async def send(self, caller: Caller, channel: Channel) -> datetime:
        """Send a code in place of the one before; when it stops being good.

        Raises NothingToVerify, NothingCarriesSms, IllegalTransition when the channel is verified, TooManyCodes, and
        NotFound for services.
        """
        return await self._tx.run("auth.send_verification", lambda uow: self._send(uow, caller, channel))

    async def verify(self, caller: Caller, channel: Channel, code: str) -> AccountRow:
        """Mark the channel as verified; the account as it is then. Raises CodeWrong and NotFound."""
        # A wrong code is returned, not raised: raising it would roll the try back.
        verified = await self._tx.run("auth.verify", lambda uow: self._verify(uow, caller, channel, code))
        if verified is None:
            raise CodeWrong("code")
        return verified

    async def _send(self, uow: UnitOfWork, caller: Caller, channel: Channel) -> datetime:
        account = await _locked(uow, caller)
        target, is_verified = _target(account, channel)
        if not target:
            raise NothingToVerify
        if channel is Channel.PHONE and not self._letters.sends_sms:
            raise NothingCarriesSms
        if is_verified:
            raise IllegalTransition(channel.value.lower(), "VERIFIED", [])
        repository = CodeRepository(uow.connection)
        code, end = new_code(), uow.now + LIFETIME
        code_hash = self._hasher.verification(account.user_id, channel, code)
        if not await repository.put(account.user_id, channel, target, code_hash, uow.now, end, WINDOW, SENDS):
            began = await repository.window_time(account.user_id, channel) or uow.now
            raise TooManyCodes(max((began + WINDOW - uow.now).total_seconds(), 1.0))
        self._letters.verification_code(uow, channel, target, code, LIFETIME)
        await log.record(uow, caller, "user", account.user_id)
        return end

    async def _verify(self, uow: UnitOfWork, caller: Caller, channel: Channel, code: str) -> AccountRow | None:
        account = await _locked(uow, caller)
        repository = CodeRepository(uow.connection)
        found = await repository.take_try(account.user_id, channel, uow.now, TRIES)
        presented = self._hasher.verification(account.user_id, channel, code)
        target, _ = _target(account, channel)
        if found is None or found.target != target or not hmac.compare_digest(found.code_hash, presented):
            return None
        await repository.spend(account.user_id, channel, uow.now)
        await repository.mark_verified(account.user_id, channel, uow.now)
        await log.record(uow, caller, "user", account.user_id)
        return await AccountRepository(uow.connection).by_id(account.user_id)


def _target(account: AccountRow, channel: Channel) -> tuple[str, bool]:
    if channel is Channel.EMAIL:
        return account.email, account.email_verified
    return account.phone, account.phone_verified


async def _locked(uow: UnitOfWork, caller: Caller) -> AccountRow:
    account = await AccountRepository(uow.connection).lock(caller.known_user_id)
    if account is None or account.state is not AccountState.ACTIVE:
        raise NotFound("user", caller.known_user_id)
    return account
