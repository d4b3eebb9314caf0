"""Deletes what auth no longer needs, in small batches: sessions long past their end, and old access changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from marketd.auth import changes
from marketd.auth.session_repository import SessionRepository
from marketd.kernel.refusals import Refusal
from marketd.kernel.transactor import Transactor
from marketd.kernel.uow import UnitOfWork

_log = structlog.get_logger(__name__)

BATCH = 1_000
# Ended sessions stay for a while, so that their owners can look at them.
KEEP_SESSIONS = timedelta(days=30)
# Four times the longest life of an access token: nothing made before such a change is still good.
KEEP_CHANGES = timedelta(hours=1)


async def sweep(tx: Transactor) -> int:
    """Delete one batch of each kind; how many rows went."""

    async def work(uow: UnitOfWork) -> int:
        sessions = await SessionRepository(uow.connection).delete_ended(uow.now - KEEP_SESSIONS, BATCH)
        now = await changes.database_now(uow.connection)
        return sessions + await changes.delete_before(uow.connection, now - KEEP_CHANGES, BATCH)

    return await tx.run_bare("auth.sweep", work)


async def run(tx: Transactor, *, pause_seconds: float = 60.0) -> None:
    """Sweep until cancelled; one worker of the marketplace is enough, several do no harm."""
    while True:
        try:
            gone = await sweep(tx)
        except Refusal as refusal:
            _log.warning("auth_sweep_waiting", reason=refusal.reason.value)
            gone = 0
        await asyncio.sleep(pause_seconds if gone < BATCH else 0.5)
