"""Changing one's own account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts import repository
from marketd.auth.accounts.find import find_account, lock_own
from marketd.auth.accounts.names import NameTaken, is_phone_free, is_username_kept, names_are_unique
from marketd.auth.accounts.values import Account
from marketd.auth.codes.repository import verifications
from marketd.auth.errors import VerifiedPhone
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag

USERNAME_KEPT: Final = timedelta(hours=72)
"""So long the first username that an account gave up stays its own: as long as a former e-mail address."""


@dataclass(frozen=True, slots=True)
class UserChange:
    """New values for the fields named in `paths`, which are some of those below. Empty texts mean none."""

    user_id: UUID
    paths: frozenset[str]
    etag: str
    username: str
    phone: str
    full_name: str
    language_code: str = ""


async def update_user(uow: UnitOfWork, caller: Caller, change: UserChange) -> Account:
    """Change the caller's own account; a new phone has yet to be verified. What changes nothing leaves it as it is.

    Raises NotFound, EtagMismatch, VerifiedPhone, and NameTaken for what another account has.
    """
    before = await lock_own(uow, caller, change.user_id)
    check_etag(change.etag, before.version)
    after = _changed(before, change)
    if after == before:
        return before
    if after.phone != before.phone:
        if before.phone_verified:
            raise VerifiedPhone
        if not await is_phone_free(uow, before.user_id, after.phone):
            raise NameTaken("phone")
    with names_are_unique():
        await repository.save(uow.connection, after, uow.now)
    await _keep_username(uow, before, after)
    await verifications.void_former(uow.connection, after.user_id, after.email, after.phone)
    changed = await find_account(uow.connection, after.user_id)
    await log.record(uow, caller, "user", after.user_id, before=before, after=changed)
    return changed


async def _keep_username(uow: UnitOfWork, before: Account, after: Account) -> None:
    """Keep the former username for the account for a while. Raises NameTaken when the new one is kept for another."""
    former, new = before.username.lower(), after.username.lower()
    if new == former:
        return
    if await is_username_kept(uow, after.user_id, new):
        raise NameTaken("username")
    if former:
        await repository.keep_username(uow.connection, after.user_id, former, uow.now, uow.now + USERNAME_KEPT)


def _changed(account: Account, change: UserChange) -> Account:
    def chosen(name: str) -> str:
        value: str = getattr(change if name in change.paths else account, name)
        return value

    return replace(
        account,
        username=chosen("username"),
        phone=chosen("phone"),
        full_name=chosen("full_name"),
        language_code=chosen("language_code"),
    )
