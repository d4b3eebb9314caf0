"""Proving that an e-mail address or a phone is one's own, by a code of six digits.

Two codes may be out for a channel: one for what the account has, one for a change that waits. Verify is not told which
it gets, so a try is held against both and counts for both.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime

from marketd.audit import log
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.find import find_account, lock_active
from marketd.auth.accounts.names import NameTaken, is_phone_free, names_are_unique
from marketd.auth.accounts.values import Account
from marketd.auth.codes.change import Changing
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.model import CodePurpose, VerificationChannel
from marketd.auth.codes.repository import verifications
from marketd.auth.codes.send import TRIES, CodeSender
from marketd.auth.codes.values import SentCode
from marketd.auth.errors import AlreadyVerified, CodeWrong, NothingCarriesSms, NothingToVerify
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork


class Verifying:
    """The two use cases around verification codes."""

    def __init__(self, hasher: CodeHasher, sender: CodeSender, changing: Changing, letters: Letters) -> None:
        self._hasher = hasher
        self._sender = sender
        self._changing = changing
        self._letters = letters

    async def send(self, uow: UnitOfWork, caller: Caller, channel: VerificationChannel) -> datetime:
        """Send a code to what the account has, in place of the one before; when it stops being good.

        Raises NothingToVerify, NothingCarriesSms, IllegalTransition when the channel is verified, TooManyCodes, and
        NotFound for services.
        """
        account = await lock_active(uow, caller.known_user_id)
        target, is_verified = _target(account, channel)
        if not target:
            raise NothingToVerify
        if channel is VerificationChannel.PHONE and not self._letters.sends_sms:
            raise NothingCarriesSms("channel")
        if is_verified:
            raise AlreadyVerified(channel.value.lower())
        end = await self._sender.send(uow, account, channel, CodePurpose.CURRENT, target)
        await log.record(uow, caller, "user", account.user_id)
        return end

    async def verify(
        self, uow: UnitOfWork, caller: Caller, channel: VerificationChannel, code: str
    ) -> Account | CodeWrong | NameTaken:
        """Mark the channel as verified, or make the change that waits; the account as it is then. Raises NotFound.

        That the code is wrong is returned, not raised: raising it would roll the try back. So is that somebody else
        was faster, which is raised where both come at once.
        """
        account = await lock_active(uow, caller.known_user_id)
        presented = self._hasher.verification(account.user_id, channel, code)
        target, _ = _target(account, channel)
        right: SentCode | None = None
        for sent in await verifications.take_try(uow.connection, account.user_id, channel, uow.now, TRIES):
            is_open = sent.purpose is CodePurpose.CHANGE or sent.target == target
            if hmac.compare_digest(sent.code_hash, presented) and is_open:
                right = sent
        if right is None:
            return CodeWrong("code")
        await verifications.spend(uow.connection, account.user_id, channel, right.purpose)
        if right.purpose is CodePurpose.CHANGE:
            return await self._changing.make(uow, caller, account, channel, right.target)
        return await _mark(uow, caller, account, channel)


async def _mark(uow: UnitOfWork, caller: Caller, account: Account, channel: VerificationChannel) -> Account | NameTaken:
    if channel is VerificationChannel.EMAIL:
        verified = replace(account, email_verified=True)
    elif await is_phone_free(uow, account.user_id, account.phone):
        verified = replace(account, phone_verified=True)
    else:
        return NameTaken("phone")
    with names_are_unique():
        await accounts.save(uow.connection, verified, uow.now)
    after = await find_account(uow.connection, account.user_id)
    await log.record(uow, caller, "user", account.user_id, before=account, after=after)
    return after


def _target(account: Account, channel: VerificationChannel) -> tuple[str, bool]:
    if channel is VerificationChannel.EMAIL:
        return account.email, account.email_verified
    return account.phone, account.phone_verified
