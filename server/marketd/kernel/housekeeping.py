"""Housekeeping: deletes what has served its time, in small batches, so no table of the kernel grows for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from marketd.kernel.refusals import Refusal
from marketd.kernel.transactor import Transactor
from marketd.kernel.uow import UnitOfWork

_log = structlog.get_logger(__name__)

BATCH = 2_000


async def sweep(tx: Transactor, *, keep_events: timedelta) -> int:
    """Delete one batch of each kind; how many rows went. Handled marks outlive their events, so no effect repeats."""

    async def work(uow: UnitOfWork) -> int:
        gone = 0
        for table, key, condition, bound in (
            ("idempotency_keys", "(caller_key, method, request_id)", "expire_time <= $1", uow.now),
            ("outbox_events", "event_id", "published_time <= $1", uow.now - keep_events),
            ("handled_events", "(handler, event_id)", "handled_time <= $1", uow.now - 2 * keep_events),
        ):
            columns = key.strip("()")
            tag = await uow.connection.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM {table} WHERE {condition} LIMIT {BATCH})",  # noqa: S608 - constants
                bound,
            )
            gone += int(tag.rsplit(" ", 1)[-1])
        return gone

    return await tx.run_bare("housekeeping.sweep", work)


async def repeat(sweep: Callable[[], Awaitable[int]], *, pause_seconds: float = 60.0) -> None:
    """Call a slice's sweep until cancelled: again soon while it finds whole batches, else after the pause."""
    while True:
        try:
            gone = await sweep()
        except Refusal as refusal:
            _log.warning("housekeeping_waiting", reason=refusal.reason.value)
            gone = 0
        await asyncio.sleep(pause_seconds if gone < BATCH else 0.5)
