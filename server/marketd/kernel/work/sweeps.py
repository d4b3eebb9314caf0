"""Housekeeping: deletes what has served its time, in small batches, so no table of the kernel grows for ever."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta

from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import UnitOfWork

BATCH = 2_000


async def sweep(uow: UnitOfWork, *, keep_events: timedelta) -> int:
    """Delete one batch of each kind; how many rows went. Handled marks outlive their events, so no effect repeats."""
    delete = functools.partial(delete_old, uow.connection)
    return (
        await delete("idempotency_keys", "caller_key, method, request_id", "expire_time", uow.now)
        + await delete("outbox_events", "event_id", "publish_time", uow.now - keep_events)
        + await delete("handled_events", "handler, event_id", "handle_time", uow.now - 2 * keep_events)
    )


async def delete_old(connection: Connection, table: str, key: str, column: str, before: datetime) -> int:
    """Delete a batch of the rows whose time in `column` lies before the instant; how many went.

    table, key (its columns, with commas) and column are the caller's constants, never input. Rows that somebody holds
    are left for the next time.
    """
    tag = await connection.execute(
        f"DELETE FROM {table} WHERE ({key}) IN"  # noqa: S608 - constants
        f" (SELECT {key} FROM {table} WHERE {column} < $1 LIMIT {BATCH} FOR UPDATE SKIP LOCKED)",
        before,
    )
    return int(tag.rsplit(" ", 1)[-1])
