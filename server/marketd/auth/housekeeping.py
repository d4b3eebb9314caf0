"""Deletes what auth no longer needs, in small batches: ended sessions, old access changes and counts, retired keys."""

from __future__ import annotations

from datetime import timedelta

from marketd.auth import changes, throttle
from marketd.auth.key_repository import SigningKeyRepository
from marketd.auth.session_repository import SessionRepository
from marketd.kernel.transactor import Transactor
from marketd.kernel.uow import UnitOfWork

BATCH = 1_000
# Ended sessions stay for a while, so that their owners can look at them.
KEEP_SESSIONS = timedelta(days=30)
# Four times the longest life of an access token: nothing made before such a change is still good.
KEEP_CHANGES = timedelta(hours=1)


async def sweep(tx: Transactor) -> int:
    """Delete one batch of each kind; how many rows went."""

    async def work(uow: UnitOfWork) -> int:
        await SigningKeyRepository(uow.connection).retire_before(uow.now)
        attempts = await throttle.delete_before(uow.connection, uow.now - throttle.FORGET, BATCH)
        sessions = await SessionRepository(uow.connection).delete_ended(uow.now - KEEP_SESSIONS, BATCH)
        now = await changes.database_now(uow.connection)
        return attempts + sessions + await changes.delete_before(uow.connection, now - KEEP_CHANGES, BATCH)

    return await tx.run_bare("auth.sweep", work)
