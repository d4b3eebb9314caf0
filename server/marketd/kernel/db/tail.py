"""What a transaction writes last: the answer to its request id, its jobs and its events, in one statement.

Each statement more is a round trip, and every change of the marketplace would pay for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from marketd.kernel.call.call import OnceKey
from marketd.kernel.db import idempotency
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events import outbox
from marketd.kernel.work import jobs

_AFTER_JOBS: Final = "(SELECT count(*) FROM queued) >= 0"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The serialized answer to a request id, and for how long it is kept."""

    key: OnceKey
    payload: bytes
    keep: timedelta


async def write(uow: UnitOfWork, answer: KeptAnswer | None, now: datetime) -> None:
    """Write what there is of them; called by the transactor as the last thing before the commit."""
    arguments: list[object] = []
    if answer is not None:
        arguments += idempotency.store_arguments(answer.key, answer.payload, now, answer.keep)
    if uow.jobs:
        arguments += jobs.insert_arguments(uow.jobs, now)
    if uow.events:
        arguments += outbox.append_arguments(uow.events, now)
    if arguments:
        statement = _statement(is_answered=answer is not None, has_jobs=bool(uow.jobs), has_events=bool(uow.events))
        await uow.connection.execute(statement, *arguments)


@cache
def _statement(*, is_answered: bool, has_jobs: bool, has_events: bool) -> str:
    """The parts that come before the last one are CTEs. Jobs are written before the events' sequences are locked, in
    every transaction: where two wait for each other's dedup key or sequence, they do so in one order.
    """
    parts: list[tuple[str, str]] = []
    place = 1
    if is_answered:
        parts.append(("kept", idempotency.store_sql(place)))
        place += idempotency.STORE_ARGUMENTS
    if has_jobs:
        parts.append(("queued", jobs.insert_sql(place)))
        place += jobs.INSERT_ARGUMENTS
    ctes, last = "", ""
    if has_events:
        ctes, last = outbox.append_sql(place, _AFTER_JOBS if has_jobs else "true")
    else:
        _, last = parts.pop()
    before = [f"{name} AS ({sql} RETURNING 1)" for name, sql in parts]
    every = ", ".join([*before, *([ctes] if ctes else [])])
    return f"WITH {every} {last}" if every else last
