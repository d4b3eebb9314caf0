"""Finding accounts: for reading, and locked for a change."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.auth.accounts import repository
from marketd.auth.accounts.model import TRANSITIONS, AccountState
from marketd.auth.accounts.values import Account, UserFilter
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import ReadUnit, UnitOfWork


async def find_account(connection: Connection, user_id: UUID) -> Account:
    """The account with this id. Raises NotFound."""
    return _found(await repository.read(connection, user_id), user_id)


async def get_user(unit: UnitOfWork | ReadUnit, caller: Caller, user_id: UUID) -> Account:
    """The caller's own account; admins and services may read any. Raises NotFound, also for the accounts of others."""
    if user_id != caller.user_id and not caller.has(Role.ADMIN, Role.SERVICE):
        raise NotFound("user", user_id)
    return await find_account(unit.connection, user_id)


async def read_users(unit: ReadUnit, user_ids: Sequence[UUID]) -> list[Account]:
    """The accounts with these ids, each once and in their order; the access table lets only services come here.

    user_ids: 1..100.
    """
    found = {account.user_id: account for account in await repository.read_many(unit.connection, user_ids)}
    return [found[user_id] for user_id in dict.fromkeys(user_ids) if user_id in found]


async def list_users(unit: ReadUnit, wanted: UserFilter, after: UUID | str | None, limit: int) -> list[Account]:
    """Accounts in the order of the filter; the access table lets only admins come here."""
    return await repository.list_page(unit.connection, wanted, after, limit)


async def lock_account(uow: UnitOfWork, user_id: UUID) -> Account:
    """The account in any state, locked until the transaction ends. Raises NotFound."""
    return _found(await repository.lock(uow.connection, user_id), user_id)


async def lock_own(uow: UnitOfWork, caller: Caller, user_id: UUID) -> Account:
    """The caller's own account, locked. Raises NotFound, also for the accounts of others and a deleted one."""
    account = await lock_account(uow, user_id) if user_id == caller.user_id else None
    if account is None or account.state is AccountState.DELETED:
        raise NotFound("user", user_id)
    return account


async def lock_for_admin(uow: UnitOfWork, user_id: UUID) -> Account:
    """Anybody's account, locked. Raises NotFound, and IllegalTransition for a deleted one."""
    account = await lock_account(uow, user_id)
    if account.state is AccountState.DELETED:
        raise TRANSITIONS.refusal(account.state)
    return account


async def lock_active(uow: UnitOfWork, user_id: UUID) -> Account:
    """The account, locked. Raises NotFound, also for one that is not active; a service has none."""
    account = await lock_account(uow, user_id)
    if account.state is not AccountState.ACTIVE:
        raise NotFound("user", user_id)
    return account


def _found(account: Account | None, user_id: UUID) -> Account:
    if account is None:
        raise NotFound("user", user_id)
    return account
