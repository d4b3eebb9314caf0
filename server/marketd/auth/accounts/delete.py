"""Deleting one's own account. The row stays for what refers to it; what belongs to the person goes."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts import repository
from marketd.auth.accounts.find import lock_own
from marketd.auth.accounts.roles import keep_an_admin
from marketd.auth.accounts.values import Account
from marketd.auth.addresses import repository as addresses
from marketd.auth.codes.proof import Proving
from marketd.auth.codes.repository import email_changes, factors, password_resets, verifications
from marketd.auth.codes.values import Proof
from marketd.auth.errors import AccountHeld
from marketd.auth.events import AccountDeleted
from marketd.auth.ports import AccountEnded, AccountHolder
from marketd.auth.sessions import session
from marketd.auth.sessions.repository import sessions
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db import idempotency
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag


class Deleting:
    """The use case. `holders` know of what keeps an account from being deleted; `account_ended` forget the person."""

    def __init__(
        self,
        tx: Transactor,
        proving: Proving,
        holders: Collection[AccountHolder],
        account_ended: Collection[AccountEnded] = (),
    ) -> None:
        self._tx = tx
        self._proving = proving
        self._holders = holders
        self._account_ended = account_ended

    async def delete(
        self, caller: Caller, user_id: UUID, etag: str, proof: Proof, *, allow_missing: bool = False
    ) -> None:
        """Delete the caller's own account, see delete_user. What is in the way is said before the proof is judged.

        Raises what may_delete raises, but NotFound only without `allow_missing`, and what Proving.judge raises.
        """
        try:
            known = await self._tx.run(
                "user.may_delete", lambda uow: may_delete(uow, caller, user_id, etag, self._holders)
            )
            judged = await self._proving.judge(known, proof)

            async def work(uow: UnitOfWork) -> None:
                # The account first: that is the order in which everybody locks.
                account = await lock_own(uow, caller, user_id)
                await self._proving.settle(uow, account, judged)
                await delete_user(uow, caller, user_id, etag, self._holders, self._account_ended)

            await self._tx.run("user.delete", work)
        except NotFound:
            if not allow_missing:
                raise


async def may_delete(
    uow: UnitOfWork, caller: Caller, user_id: UUID, etag: str, holders: Collection[AccountHolder]
) -> Account:
    """The caller's own account, locked, when nothing is in the way of its end.

    Raises EtagMismatch, LastAdmin, InUse while one of the `holders` knows of something, and NotFound, also for the
    accounts of others.
    """
    account = await lock_own(uow, caller, user_id)
    check_etag(etag, account.version)
    await keep_an_admin(uow, account)
    for holder in holders:
        held_by = await holder(uow, user_id)
        if held_by is not None:
            raise AccountHeld(held_by)
    return account


async def delete_user(
    uow: UnitOfWork,
    caller: Caller,
    user_id: UUID,
    etag: str,
    holders: Collection[AccountHolder],
    account_ended: Collection[AccountEnded] = (),
) -> None:
    """Make the caller's own account one of nobody, once its owner is proved to ask.

    Sessions and streams end, `account_ended` forget the person, and orders stay without it. Raises what may_delete
    does.
    """
    await may_delete(uow, caller, user_id, etag, holders)
    for ended in account_ended:
        await ended(uow, user_id)
    await session.end_sessions(uow, user_id)
    await addresses.delete_all(uow.connection, user_id)
    await verifications.delete_all(uow.connection, user_id)
    await password_resets.delete_all(uow.connection, user_id)
    await email_changes.delete_all(uow.connection, user_id)
    await repository.forget_username(uow.connection, user_id)
    await factors.delete_all(uow.connection, user_id)
    await sessions.forget_origins(uow.connection, user_id)
    # Nobody can ask for them any more, and they hold names and addresses.
    await idempotency.forget(uow.connection, caller.key)
    await log.forget_values(uow, "user", [user_id])
    await repository.anonymise(uow.connection, user_id, uow.now)
    uow.emit(AccountDeleted(user_id=user_id))
    await log.record(uow, caller, "user", user_id)
