"""Units of work for tests: ten marks to change, an event to emit, and the ways in which a transactor runs them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID, uuid4

from google.protobuf.wrappers_pb2 import StringValue
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Event
from marketd.kernel.values.clock import Clock, SystemClock

Work = Callable[[UnitOfWork], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class ThingHappened(Event):
    """A made-up event."""

    event_type: ClassVar[str] = "thing.happened"
    aggregate: ClassVar[str] = "thing"

    thing_id: UUID
    number: int


async def emit(tx: Transactor, *events: Event, fail: bool = False) -> None:
    """Emit the events in one unit, which fails when that is asked for."""

    async def work(uow: UnitOfWork) -> None:
        for event in events:
            uow.emit(event)
        if fail:
            await uow.connection.execute("SELECT 1 / 0")

    await tx.run("test.emit", work)


async def run(tx: Transactor, work: Work, *, seconds: float | None = None) -> object:
    """Run the work."""
    return await tx.run("test.unit", work, seconds=seconds)


async def answer(
    tx: Transactor,
    work: Work,
    *,
    request_id: str,
    fingerprint: bytes = b"same",
    caller_key: str = "caller",
    method: str = "Do",
    seconds: float = 5.0,
) -> bytes:
    """Run the work as a call with this request id (or with none, when it is empty); the bytes of its answer.

    The answer names the result and is never twice the same.
    """
    once = OnceKey(caller_key, f"/marketplace.test.v1.Test/{method}", request_id, fingerprint) if request_id else None
    calls.enter(Call(once=once, deadline=time.monotonic() + seconds))

    def render(value: object) -> StringValue:
        return StringValue(value=f"{value} {uuid4()}")

    answered: object = await tx.answer("test.once", work, render)
    if isinstance(answered, StringValue):
        assert once is None
        return answered.SerializeToString()
    assert isinstance(answered, bytes)
    return answered


@asynccontextmanager
async def transactor(
    url: str, *, pool_size: int = 1, pool_timeout_seconds: float = 5, clock: Clock | None = None
) -> AsyncIterator[Transactor]:
    """A transactor of another process: its own pool, of one connection unless said otherwise."""
    engine = create_engine(url, pool_size=pool_size, pool_timeout_seconds=pool_timeout_seconds)
    other = Transactor(engine, clock or SystemClock())
    try:
        yield other
    finally:
        await other.drain()
        await engine.dispose()


async def make_marks(tx: Transactor) -> None:
    """Ten marks, all of them 0."""

    async def work(uow: UnitOfWork) -> None:
        await uow.connection.execute("CREATE TABLE marks (id int PRIMARY KEY, value int NOT NULL DEFAULT 0)")
        await uow.connection.execute("INSERT INTO marks SELECT generate_series(1, 10)")

    await run(tx, work)


async def add_one(uow: UnitOfWork, key: int = 1) -> int:
    """Raise a mark by one and give its value."""
    return int(
        await uow.connection.fetchval("UPDATE marks SET value = value + 1 WHERE id = $1 RETURNING value", key) or 0
    )


async def mark(tx: Transactor, key: int = 1) -> int:
    """What is committed of a mark."""
    return int(await tx.read(lambda unit: unit.connection.fetchval("SELECT value FROM marks WHERE id = $1", key)))


async def unpublished(tx: Transactor) -> int:
    """How many events the relay has not marked."""
    statement = "SELECT count(*) FROM outbox_events WHERE publish_time IS NULL"
    return int(await tx.read(lambda unit: unit.connection.fetchval(statement)))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in callbacks that know no event
            await asyncio.sleep(0.01)
