"""Deleting one's own account. The row stays for what refers to it; what belongs to the person goes."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts import repository
from marketd.auth.accounts.find import lock_own
from marketd.auth.accounts.roles import keep_an_admin
from marketd.auth.addresses import repository as addresses
from marketd.auth.codes.repository import factors, password_resets, verifications
from marketd.auth.errors import AccountHeld
from marketd.auth.events import AccountDeleted
from marketd.auth.ports import AccountEnded, AccountHolder
from marketd.auth.sessions import session
from marketd.auth.sessions.repository import sessions
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db import idempotency
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag


async def delete_user(
    uow: UnitOfWork,
    caller: Caller,
    user_id: UUID,
    etag: str,
    holders: Collection[AccountHolder],
    account_ended: Collection[AccountEnded] = (),
    *,
    allow_missing: bool = False,
) -> None:
    """Make the caller's own account one of nobody; sessions and streams end, `account_ended` forget the person, and
    orders stay without it.

    Raises EtagMismatch, LastAdmin, InUse while one of the `holders` knows of something, and NotFound, also for the
    accounts of others, unless `allow_missing`.
    """
    try:
        account = await lock_own(uow, caller, user_id)
    except NotFound:
        if allow_missing:
            return
        raise
    check_etag(etag, account.version)
    await keep_an_admin(uow, account)
    for holder in holders:
        held_by = await holder(uow, user_id)
        if held_by is not None:
            raise AccountHeld(held_by)
    for ended in account_ended:
        await ended(uow, user_id)
    await session.end_sessions(uow, user_id)
    await addresses.delete_all(uow.connection, user_id)
    await verifications.delete_all(uow.connection, user_id)
    await password_resets.delete_all(uow.connection, user_id)
    await factors.delete_all(uow.connection, user_id)
    await sessions.forget_origins(uow.connection, user_id)
    # Nobody can ask for them any more, and they hold names and addresses.
    await idempotency.forget(uow.connection, caller.key)
    await log.forget_values(uow, "user", [user_id])
    await repository.anonymise(uow.connection, user_id, uow.now)
    uow.emit(AccountDeleted(user_id=user_id))
    await log.record(uow, caller, "user", user_id)
