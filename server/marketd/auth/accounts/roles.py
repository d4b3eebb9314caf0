"""What an account may act as: giving roles, taking them, and keeping somebody who runs the marketplace.

The account's row is locked first. Whoever takes an admin away then takes the admins' lock, so that two admins cannot
remove each other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts import repository
from marketd.auth.accounts.find import find_account, lock_for_admin
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.values import Account
from marketd.auth.errors import LastAdmin
from marketd.auth.ports import AccessEnd, AccessEnded
from marketd.auth.sessions import access_changes
from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag


@dataclass(frozen=True, slots=True)
class RolesChange:
    """All the roles that an account shall have."""

    user_id: UUID
    roles: frozenset[Role]
    reason: str
    etag: str


async def set_roles(
    uow: UnitOfWork, caller: Caller, change: RolesChange, access_ended: Collection[AccessEnded] = ()
) -> Account:
    """Give an account these roles and no others; every worker knows within 2 s.

    The streams of an account that lost a role end, to be judged anew; what it ran is seen to by `access_ended`. Raises
    NotFound, EtagMismatch, IllegalTransition for a deleted account, and LastAdmin.
    """
    account = await lock_for_admin(uow, change.user_id)
    if change.roles != account.roles:
        # Not when it has them: a repeat whose answer was lost has the etag from before.
        check_etag(change.etag, account.version)
    gained, lost = change.roles - account.roles, account.roles - change.roles
    if Role.ADMIN in lost:
        await keep_an_admin(uow, account)
    for role in sorted(gained):
        await repository.add_role(uow.connection, account.user_id, role, uow.now)
    for role in sorted(lost):
        await repository.remove_role(uow.connection, account.user_id, role)
    if gained or lost:
        await repository.touch(uow.connection, account.user_id, uow.now)
        kind = ChangeKind.ROLE_REVOKED if lost else ChangeKind.ROLE_GRANTED
        await access_changes.record(uow, kind, account.user_id)
    for ended in access_ended if lost else ():
        await ended(uow, account.user_id, lost, AccessEnd.ROLES_TAKEN)
    moved = f"{_names(account.roles)} -> {_names(change.roles)}"
    after = await find_account(uow.connection, account.user_id)
    comment = f"{moved}: {change.reason}" if change.reason else moved
    await log.record(uow, caller, "user", account.user_id, comment, before=account, after=after)
    return after


async def keep_an_admin(uow: UnitOfWork, account: Account) -> None:
    """Refuse to take away the last one who may run the marketplace. Raises LastAdmin."""
    if Role.ADMIN not in account.roles or account.state is not AccountState.ACTIVE:
        return
    await repository.lock_admins(uow.connection)
    if not await repository.has_other_admin(uow.connection, account.user_id):
        raise LastAdmin


def _names(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles)) or "none"
