"""Taking a change of the e-mail address back, with the token of the letter to the former address.

Whoever changed it had a session and the password, or a second factor; whoever reads the former address was the owner
before. So everything goes that could let the first one in again, and the second one chooses a new password.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from marketd.audit import log
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.names import NameTaken, names_are_unique
from marketd.auth.accounts.values import Account
from marketd.auth.codes.credentials import hash_token
from marketd.auth.codes.recover import Recovering
from marketd.auth.codes.repository import email_changes, factors, password_resets, verifications
from marketd.auth.codes.values import EmailChange
from marketd.auth.errors import LetterTokenInvalid
from marketd.auth.letters import Letters
from marketd.auth.sessions import session
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork

_UNUSABLE: Final = ""
"""No password hashes to it, and comparing one with it takes as long as with any other (passwords.py)."""


class Undoing:
    """The use case of a former address's reader."""

    def __init__(self, recovering: Recovering, letters: Letters) -> None:
        self._recovering = recovering
        self._letters = letters

    async def undo(self, uow: UnitOfWork, caller: Caller, token: str) -> None:
        """Restore the former address, and send a reset token there; a blocked account stays blocked and gets none.

        Raises LetterTokenInvalid, alike for tokens that are unknown, used and too old.
        """
        token_hash = hash_token(token)
        change = await email_changes.read(uow.connection, token_hash, uow.now)
        if change is None:
            raise LetterTokenInvalid
        calls.current().about = f"user/{change.user_id}"
        before = await accounts.lock(uow.connection, change.user_id)
        # Again, with the account locked: somebody may have used the token since.
        if before is None or await email_changes.read(uow.connection, token_hash, uow.now) is None:
            raise LetterTokenInvalid
        after = await self._restore(uow, before, change)
        await email_changes.delete_since(uow.connection, before.user_id, change.create_time)
        await verifications.void_changes(uow.connection, before.user_id)
        await password_resets.delete_all(uow.connection, before.user_id)
        await session.end_sessions(uow, before.user_id)
        if await factors.delete_since(uow.connection, before.user_id, change.create_time):
            self._letters.totp_changed(uow, after, enabled=False)
        if after.email != before.email:
            # Without a token: who reads the address that the account loses shall know, and not take it back again.
            self._letters.email_restored(uow, before, after.email, caller.address)
        if after.state is AccountState.ACTIVE:
            await self._recovering.send_token(uow, after)
        owner = Caller(before.user_id, None, before.roles, caller.address)
        now = await accounts.read(uow.connection, before.user_id)
        await log.record(uow, owner, "user", before.user_id, before=before, after=now)

    async def _restore(self, uow: UnitOfWork, before: Account, change: EmailChange) -> Account:
        after = replace(before, email=change.former_email, email_verified=change.former_verified)
        try:
            with names_are_unique():
                await accounts.save(uow.connection, after, uow.now)
        except NameTaken as error:
            # Kept for the account by clocks that differ from ours: it is over there.
            raise LetterTokenInvalid from error
        await accounts.set_password_hash(uow.connection, before.user_id, _UNUSABLE, uow.now)
        await verifications.void_former(uow.connection, before.user_id, after.email, after.phone)
        return after
