"""Changing one's own account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts import repository
from marketd.auth.accounts.create import names_are_unique
from marketd.auth.accounts.find import find_account, lock_own
from marketd.auth.accounts.values import Account
from marketd.auth.codes.repository import password_resets, verifications
from marketd.auth.errors import NoAddress
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.mail.compose import is_address

CHANGEABLE = ("email", "username", "phone", "full_name", "language_code")
"""The fields that an owner may change."""


@dataclass(frozen=True, slots=True)
class UserChange:
    """New values for the fields named in `paths`, which are of CHANGEABLE. Empty texts mean none."""

    user_id: UUID
    paths: frozenset[str]
    etag: str
    email: str
    username: str
    phone: str
    full_name: str
    language_code: str = ""


async def update_user(uow: UnitOfWork, caller: Caller, change: UserChange, letters: Letters) -> Account:
    """Change the caller's own account; a new e-mail address or phone has yet to be verified.

    What changes nothing leaves the account as it is.

    The former e-mail address is told of a new one: if it was not the owner who changed it, the owner reads there.
    Raises NotFound, EtagMismatch, NoAddress, and AlreadyExists naming the field that somebody else has.
    """
    before = await lock_own(uow, caller, change.user_id)
    check_etag(change.etag, before.version)
    after = _changed(before, change)
    if after == before:
        return before
    if after.email != before.email and not is_address(after.email):
        raise NoAddress("user.email")
    with names_are_unique():
        await repository.save(uow.connection, after, uow.now)
    await verifications.void_former(uow.connection, after.user_id, after.email, after.phone, uow.now)
    if after.email != before.email:
        # The reset tokens went to an address that is no longer the account's.
        await password_resets.delete_all(uow.connection, after.user_id)
        letters.email_changed(uow, before, after.email, caller.address)
    changed = ", ".join(name for name in CHANGEABLE if getattr(after, name) != getattr(before, name))
    await log.record(uow, caller, "user", after.user_id, changed)
    return await find_account(uow.connection, after.user_id)


def _changed(account: Account, change: UserChange) -> Account:
    def chosen(name: str) -> str:
        value: str = getattr(change if name in change.paths else account, name)
        return value

    email, phone = chosen("email").lower(), chosen("phone")
    return replace(
        account,
        email=email,
        username=chosen("username"),
        phone=phone,
        full_name=chosen("full_name"),
        language_code=chosen("language_code"),
        email_verified=account.email_verified and email == account.email,
        phone_verified=account.phone_verified and phone == account.phone,
    )
