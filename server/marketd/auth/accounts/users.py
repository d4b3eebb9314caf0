"""Accounts as their owners and admins handle them: changing, deleting, listing, roles, blocking.

Everything runs in either dress. The account's row is locked first; whoever takes an admin away then takes the admins'
lock, so that two admins cannot remove each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from marketd.audit import log
from marketd.auth import service
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import AccountRepository, AccountRow
from marketd.auth.accounts.user_repository import UserFilter, UserRepository
from marketd.auth.codes.repository import ResetRepository
from marketd.auth.errors import LastAdmin, NoAddress
from marketd.auth.events import AccountDeleted
from marketd.auth.letters import Letters
from marketd.auth.ports import AccountHolder
from marketd.auth.sessions import access_changes, session
from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import IllegalTransition, InUse, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.mail.compose import is_address


@dataclass(frozen=True, slots=True)
class UserChange:
    """New values for the fields named in `paths`: email, username, phone, full_name. Empty texts mean none."""

    user_id: UUID
    paths: frozenset[str]
    etag: str
    email: str
    username: str
    phone: str
    full_name: str


@dataclass(frozen=True, slots=True)
class RolesChange:
    """All the roles that an account shall have."""

    user_id: UUID
    roles: frozenset[Role]
    reason: str
    etag: str


async def read_users(unit: ReadUnit, user_ids: Sequence[UUID]) -> list[AccountRow]:
    """The accounts with these ids, each once and in their order; the access table lets only services come here."""
    found = await UserRepository(unit.connection).by_ids(user_ids)
    return [found[user_id] for user_id in dict.fromkeys(user_ids) if user_id in found]


async def list_users(unit: ReadUnit, wanted: UserFilter, after: UUID | None, limit: int) -> list[AccountRow]:
    """Accounts, the newest first; the access table lets only admins come here."""
    return await UserRepository(unit.connection).list(wanted, after, limit)


async def update_user(uow: UnitOfWork, caller: Caller, change: UserChange, letters: Letters) -> AccountRow:
    """Change the caller's own account; a new e-mail address or phone has yet to be verified.

    The former e-mail address is told of a new one: where it was not the owner who changed it, that is who reads there.
    Raises NotFound, EtagMismatch, NoAddress, and AlreadyExists naming the field that somebody else has.
    """
    account = await _locked_own(uow, caller, change.user_id)
    check_etag(change.etag, account.version)
    new = {name: getattr(change if name in change.paths else account, name) for name in _CHANGEABLE}
    new["email"] = new["email"].lower()
    if new["email"] != account.email and not is_address(new["email"]):
        raise NoAddress("user.email")
    repository = UserRepository(uow.connection)
    try:
        await repository.update(
            account.user_id,
            uow.now,
            **new,
            email_verified=account.email_verified and new["email"] == account.email,
            phone_verified=account.phone_verified and new["phone"] == account.phone,
        )
    except asyncpg.UniqueViolationError as error:
        raise service.name_taken(error) from error
    if new["email"] != account.email:
        # They went to an address that is no longer the account's.
        await ResetRepository(uow.connection).delete(account.user_id)
        letters.email_changed(uow, account, new["email"], caller.address)
    changed = ", ".join(name for name in _CHANGEABLE if new[name] != getattr(account, name))
    await log.record(uow, caller, "user", account.user_id, changed)
    return await _present(uow, account.user_id)


async def delete_user(
    uow: UnitOfWork, caller: Caller, user_id: UUID, etag: str, holders: Collection[AccountHolder]
) -> None:
    """Make the caller's own account one of nobody; sessions and streams end, orders stay.

    Raises NotFound, EtagMismatch, LastAdmin, and InUse while one of the `holders` knows of something.
    """
    account = await _locked_own(uow, caller, user_id)
    check_etag(etag, account.version)
    await _keep_an_admin(uow, account)
    for holder in holders:
        held_by = await holder(uow, user_id)
        if held_by is not None:
            raise InUse("user", held_by)
    await session.end_sessions(uow, user_id)
    await UserRepository(uow.connection).anonymise(user_id, uow.now)
    uow.emit(AccountDeleted(user_id=user_id))
    await log.record(uow, caller, "user", user_id)


async def set_roles(uow: UnitOfWork, caller: Caller, change: RolesChange) -> AccountRow:
    """Give an account these roles and no others; every worker knows within 2 s.

    The streams of an account that lost a role end, to be judged anew. Raises NotFound, EtagMismatch, IllegalTransition
    for a deleted account, and LastAdmin.
    """
    account = await _locked(uow, change.user_id)
    check_etag(change.etag, account.version)
    gained, lost = change.roles - account.roles, account.roles - change.roles
    if Role.ADMIN in lost:
        await _keep_an_admin(uow, account)
    repository = AccountRepository(uow.connection)
    for role in sorted(gained):
        await repository.add_role(account.user_id, role, uow.now)
    for role in sorted(lost):
        await repository.remove_role(account.user_id, role)
    if gained or lost:
        await repository.touch(account.user_id, uow.now)
        kind = ChangeKind.ROLE_REVOKED if lost else ChangeKind.ROLE_GRANTED
        await access_changes.record(uow, kind, account.user_id)
    moved = f"{_names(account.roles)} -> {_names(change.roles)}"
    await log.record(uow, caller, "user", account.user_id, f"{moved}: {change.reason}" if change.reason else moved)
    return await _present(uow, account.user_id)


async def block_user(uow: UnitOfWork, caller: Caller, user_id: UUID, reason: str, letters: Letters) -> AccountRow:
    """Block an account and tell its owner; see service.block_account.

    Raises NotFound, IllegalTransition and LastAdmin.
    """
    account = await _locked(uow, user_id)
    await _keep_an_admin(uow, account)
    if await service.block_account(uow, user_id):
        letters.account_blocked(uow, account)
    await log.record(uow, caller, "user", user_id, reason)
    return await _present(uow, user_id)


async def unblock_user(uow: UnitOfWork, caller: Caller, user_id: UUID, reason: str) -> AccountRow:
    """Let an account sign in again; see service.unblock_account. Raises NotFound and IllegalTransition."""
    await _locked(uow, user_id)
    await service.unblock_account(uow, user_id)
    await log.record(uow, caller, "user", user_id, reason)
    return await _present(uow, user_id)


_CHANGEABLE = ("email", "username", "phone", "full_name")


async def _keep_an_admin(uow: UnitOfWork, account: AccountRow) -> None:
    """Refuse to take away the last one who may run the marketplace. Raises LastAdmin."""
    if Role.ADMIN not in account.roles or account.state is not AccountState.ACTIVE:
        return
    repository = UserRepository(uow.connection)
    await repository.lock_admins()
    if not await repository.has_other_admin(account.user_id):
        raise LastAdmin


async def _locked_own(uow: UnitOfWork, caller: Caller, user_id: UUID) -> AccountRow:
    account = await AccountRepository(uow.connection).lock(user_id) if user_id == caller.user_id else None
    if account is None or account.state is AccountState.DELETED:
        raise NotFound("user", user_id)
    return account


async def _locked(uow: UnitOfWork, user_id: UUID) -> AccountRow:
    account = await AccountRepository(uow.connection).lock(user_id)
    if account is None:
        raise NotFound("user", user_id)
    if account.state is AccountState.DELETED:
        raise IllegalTransition("user", account.state.value, [])
    return account


async def _present(uow: UnitOfWork, user_id: UUID) -> AccountRow:
    account = await AccountRepository(uow.connection).by_id(user_id)
    if account is None:
        raise RuntimeError("an account of this transaction is gone")
    return account


def _names(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles)) or "none"
