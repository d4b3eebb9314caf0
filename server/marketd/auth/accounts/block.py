"""Keeping an account out, and letting it in again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts import repository
from marketd.auth.accounts.find import find_account, lock_account, lock_for_admin
from marketd.auth.accounts.model import TRANSITIONS, AccountState
from marketd.auth.accounts.roles import keep_an_admin
from marketd.auth.accounts.values import Account
from marketd.auth.letters import Letters
from marketd.auth.ports import AccessEnd, AccessEnded
from marketd.auth.sessions import access_changes, session
from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag


@dataclass(frozen=True, slots=True)
class Barring:
    """Whose account to block or to let in again, why, and in which version it was read (empty: in any)."""

    user_id: UUID
    reason: str
    etag: str = ""


async def block_user(
    uow: UnitOfWork,
    caller: Caller,
    wanted: Barring,
    letters: Letters,
    access_ended: Collection[AccessEnded] = (),
) -> Account:
    """Block an account and tell its owner; see block_account. What it ran is seen to by `access_ended`.

    Raises NotFound, IllegalTransition, EtagMismatch and LastAdmin.
    """
    account = await lock_for_admin(uow, wanted.user_id)
    # Not of one that is blocked: a repeat whose answer was lost has the etag from before.
    if account.state is not AccountState.BLOCKED:
        check_etag(wanted.etag, account.version)
    await keep_an_admin(uow, account)
    if await block_account(uow, account.user_id):
        letters.account_blocked(uow, account)
        for ended in access_ended:
            await ended(uow, account.user_id, frozenset(Role), AccessEnd.BLOCKED)
    blocked = await find_account(uow.connection, account.user_id)
    await log.record(uow, caller, "user", account.user_id, wanted.reason, before=account, after=blocked)
    return blocked


async def unblock_user(uow: UnitOfWork, caller: Caller, wanted: Barring) -> Account:
    """Let an account sign in again; see unblock_account. What was suspended with the block stays so.

    Raises NotFound, IllegalTransition and EtagMismatch."""
    account = await lock_for_admin(uow, wanted.user_id)
    if account.state is not AccountState.ACTIVE:
        check_etag(wanted.etag, account.version)
    await unblock_account(uow, account.user_id)
    unblocked = await find_account(uow.connection, account.user_id)
    await log.record(uow, caller, "user", account.user_id, wanted.reason, before=account, after=unblocked)
    return unblocked


async def block_account(uow: UnitOfWork, user_id: UUID) -> bool:
    """Block the account: its sessions end, its streams too within 2 s, and it cannot sign in. Twice is once.

    False when it was blocked before. Raises NotFound, and IllegalTransition for a deleted account.
    """
    if not await _move(uow, user_id, AccountState.BLOCKED):
        return False
    await access_changes.record(uow, ChangeKind.ACCOUNT_BLOCKED, user_id)
    await session.end_sessions(uow, user_id)
    return True


async def unblock_account(uow: UnitOfWork, user_id: UUID) -> None:
    """Let a blocked account sign in again; its former sessions stay ended. Twice is once.

    Raises NotFound, and IllegalTransition for a deleted account.
    """
    if await _move(uow, user_id, AccountState.ACTIVE):
        await access_changes.record(uow, ChangeKind.ACCOUNT_UNBLOCKED, user_id)


async def _move(uow: UnitOfWork, user_id: UUID, wanted: AccountState) -> bool:
    account = await lock_account(uow, user_id)
    if account.state is wanted:
        return False
    TRANSITIONS.check(account.state, wanted)
    await repository.set_state(uow.connection, user_id, wanted, uow.now)
    return True
