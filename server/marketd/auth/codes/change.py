"""Another e-mail address or phone: asked for with a proof, and made once the code comes back that went there.

Until then the account has what it had. So whoever holds a token alone changes nothing, and nobody takes an address or
a number that they do not read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from marketd.audit import log
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.find import find_account, lock_active
from marketd.auth.accounts.names import NameTaken, is_email_free, is_email_kept, is_phone_free, names_are_unique
from marketd.auth.accounts.values import Account
from marketd.auth.codes.credentials import hash_token, new_token
from marketd.auth.codes.model import CodePurpose, VerificationChannel
from marketd.auth.codes.proof import Judged, Proving
from marketd.auth.codes.repository import email_changes, password_resets, verifications
from marketd.auth.codes.send import CodeSender
from marketd.auth.codes.values import EmailChange, Proof
from marketd.auth.errors import ContactUnchanged, NoAddress, NothingCarriesSms
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor, Work
from marketd.kernel.db.uow import UnitOfWork
from marketd.mail.compose import is_address

UNDO_LIFETIME: Final = timedelta(hours=72)


class Changing:
    """The use cases around another e-mail address or phone."""

    def __init__(self, tx: Transactor, proving: Proving, sender: CodeSender, letters: Letters) -> None:
        self._tx = tx
        self._proving = proving
        self._sender = sender
        self._letters = letters

    async def prepare_email(self, caller: Caller, email: str, proof: Proof) -> Work[datetime | NameTaken]:
        """The work that sends a code to the new address, and says when the code stops being good.

        Raises NoAddress, ContactUnchanged, NotFound for services, and what Proving.judge raises; the work TooManyCodes,
        TotpRequired, InvalidCredentials and NotFound. That the address is taken is returned: the proof was right all
        the same.
        """
        new, known = email.lower(), await self._account(caller)
        if not is_address(email):
            raise NoAddress("email")
        if new == known.email:
            raise ContactUnchanged("email")
        judged = await self._proving.judge(known, proof)

        async def work(uow: UnitOfWork) -> datetime | NameTaken:
            account = await self._proved(uow, caller, judged)
            if not await is_email_free(uow, account.user_id, new):
                return NameTaken("email")
            end = await self._sender.send(uow, account, VerificationChannel.EMAIL, CodePurpose.CHANGE, new)
            await log.record(uow, caller, "user", account.user_id)
            return end

        return work

    async def prepare_phone(self, caller: Caller, phone: str, proof: Proof) -> Work[datetime | NameTaken | None]:
        """The work that sends a code to the new phone, or removes the account's when there is no new one: then None.

        Raises NothingCarriesSms in the place of NoAddress, else as `prepare_email`.
        """
        known = await self._account(caller)
        if phone and not self._letters.sends_sms:
            raise NothingCarriesSms("phone")
        if phone == known.phone:
            raise ContactUnchanged("phone")
        judged = await self._proving.judge(known, proof)

        async def work(uow: UnitOfWork) -> datetime | NameTaken | None:
            account = await self._proved(uow, caller, judged)
            if not await is_phone_free(uow, account.user_id, phone):
                return NameTaken("phone")
            if phone:
                end = await self._sender.send(uow, account, VerificationChannel.PHONE, CodePurpose.CHANGE, phone)
                await log.record(uow, caller, "user", account.user_id)
                return end
            await self._move_phone(uow, caller, account, "")
            return None

        return work

    async def make(
        self, uow: UnitOfWork, caller: Caller, account: Account, channel: VerificationChannel, target: str
    ) -> Account | NameTaken:
        """Make the change whose code came back, of a locked account; the account as it is then.

        That somebody else has taken the address or the phone meanwhile is returned, or raised where both come at once.
        """
        if channel is VerificationChannel.EMAIL:
            if not await is_email_free(uow, account.user_id, target):
                return NameTaken("email")
            return await self._move_email(uow, caller, account, target)
        if not await is_phone_free(uow, account.user_id, target):
            return NameTaken("phone")
        return await self._move_phone(uow, caller, account, target)

    async def _account(self, caller: Caller) -> Account:
        return await self._tx.read(lambda unit: find_account(unit.connection, caller.known_user_id))

    async def _proved(self, uow: UnitOfWork, caller: Caller, judged: Judged) -> Account:
        account = await lock_active(uow, caller.known_user_id)
        await self._proving.settle(uow, account, judged)
        return account

    async def _move_email(self, uow: UnitOfWork, caller: Caller, before: Account, email: str) -> Account:
        # Back to an address that can take a change back itself: that one's right goes before, or each of two mailboxes
        # would take it from the other without end.
        goes_back = await email_changes.holder_of(uow.connection, email, uow.now) == before.user_id
        after = replace(before, email=email, email_verified=True)
        await _save(uow, after)
        if await is_email_kept(uow, before.user_id, email):
            raise NameTaken("email")
        # They went to an address that is no longer the account's.
        await password_resets.delete_all(uow.connection, before.user_id)
        token = ""
        if not goes_back:
            token, end = new_token(), uow.now + UNDO_LIFETIME
            change = EmailChange(before.user_id, before.email, before.email_verified, uow.now)
            await email_changes.insert(uow.connection, hash_token(token), change, uow.now, end)
        self._letters.email_changed(uow, before, email, caller.address, token, UNDO_LIFETIME)
        return await _recorded(uow, caller, before)

    async def _move_phone(self, uow: UnitOfWork, caller: Caller, before: Account, phone: str) -> Account:
        await _save(uow, replace(before, phone=phone, phone_verified=phone != ""))
        self._letters.phone_changed(uow, before, phone, caller.address)
        return await _recorded(uow, caller, before)


async def _recorded(uow: UnitOfWork, caller: Caller, before: Account) -> Account:
    after = await find_account(uow.connection, before.user_id)
    await log.record(uow, caller, "user", before.user_id, before=before, after=after)
    return after


async def _save(uow: UnitOfWork, account: Account) -> None:
    with names_are_unique():
        await accounts.save(uow.connection, account, uow.now)
    await verifications.void_former(uow.connection, account.user_id, account.email, account.phone)
