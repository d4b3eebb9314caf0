"""Who is woken by a commit, and how the relay gathers what comes close together; on real Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from marketd.config import Environment, Settings
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events import relay as relays
from marketd.kernel.events.events import Job, StoredEvent
from marketd.kernel.events.relay import Relay
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.jobs import Payload
from marketd.process.core import Core, make_core
from pydantic import SecretStr

from tests.integration.units import ThingHappened, emit, unpublished, until


@asynccontextmanager
async def _running(*loops: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    running = [asyncio.create_task(loop()) for loop in loops]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def _core(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Core]:
    """A process's machinery, in which nobody looks by himself while the test lasts."""
    core = make_core(Settings(env=Environment.TEST, database_url=SecretStr(database_url)))
    for each in (core.relay, core.jobs):
        monkeypatch.setattr(each, "_poll_seconds", 600.0)
    try:
        yield core
    finally:
        await core.dispose()


def _times(tx: Transactor, unit: str) -> int:
    """How often the unit of work ran."""
    return sum(sum(found.buckets) for name, _, found in tx.times if name == unit)


def _has(found: Sequence[object], count: int) -> bool:
    return len(found) == count


async def _enqueue(tx: Transactor, number: int) -> None:
    async def work(uow: UnitOfWork) -> None:
        uow.enqueue(Job(kind="test.job", payload={"number": number}))

    await tx.run("test.enqueue", work)


async def test_a_commit_wakes_the_relay_and_the_jobs_of_another_process_each_for_its_own(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled, done = list[int](), list[object]()

    async def handler(_uow: UnitOfWork, event: StoredEvent) -> None:
        handled.append(event.seq)

    async def job(_uow: UnitOfWork, payload: Payload) -> None:
        done.append(payload["number"])

    async with _core(database_url, monkeypatch) as one, _core(database_url, monkeypatch) as other:
        other.relay.register(ThingHappened.event_type, "test.handler", handler)
        other.jobs.register("test.job", job)
        async with _running(one.broadcast.run, other.broadcast.run, other.relay.run, other.jobs.run):
            await asyncio.gather(one.broadcast.connected.wait(), other.broadcast.connected.wait())
            await until(lambda: _times(other.parts.tx, "jobs.claim") == _times(other.parts.tx, "relay.take") == 1)
            thing = new_id()
            for number in range(3):
                await emit(one.parts.tx, ThingHappened(thing_id=thing, number=number))
                await until(partial(_has, handled, number + 1))
            assert _times(other.parts.tx, "jobs.claim") == 1, "there was no job to look for"
            async with asyncio.timeout(20):
                while await unpublished(one.parts.tx):  # noqa: ASYNC110 - the mark is a commit of its own
                    await asyncio.sleep(0.01)
            takes = _times(other.parts.tx, "relay.take")
            for number in range(3):
                # A hint for watchers, of which a courier's way makes thousands, is none for the relay.
                one.parts.feed.wake(new_id())
                await _enqueue(one.parts.tx, number)
                await until(partial(_has, done, number + 1))
            assert _times(other.parts.tx, "relay.take") == takes, "there was no event to look for"
    assert (handled, done) == ([1, 2, 3], [0, 1, 2])


async def test_the_first_event_is_handed_on_at_once_and_those_that_follow_closely_together(
    tx: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_GATHER_SECONDS", 1.0)
    handled = list[float]()

    async def handler(_uow: UnitOfWork, _event: StoredEvent) -> None:
        handled.append(time.monotonic())

    relay = Relay(tx, poll_seconds=600)
    relay.register(ThingHappened.event_type, "test.handler", handler)
    tx.listen(lambda _committed: relay.wake())
    async with _running(relay.run):
        await until(lambda: _times(tx, "relay.take") == 1)
        await emit(tx, ThingHappened(thing_id=new_id(), number=0))
        await until(lambda: len(handled) == 1)
        takes = _times(tx, "relay.take")
        for number in range(20):
            await emit(tx, ThingHappened(thing_id=new_id(), number=number))
        await until(lambda: len(handled) == 21)
        # One for all of them, or a few where this machine was slow to write them.
        last = _times(tx, "relay.take")
        assert last - takes <= 5
        # Marked with the look that finds nothing more.
        await until(lambda: _times(tx, "relay.take") == last + 1)
        assert await unpublished(tx) == 0


async def test_a_relay_that_is_stopped_marks_what_it_has_handed_on(
    tx: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_GATHER_SECONDS", 600.0)
    handled = list[int]()

    async def handler(_uow: UnitOfWork, event: StoredEvent) -> None:
        handled.append(event.seq)

    relay = Relay(tx, poll_seconds=600)
    relay.register(ThingHappened.event_type, "test.handler", handler)
    await emit(tx, ThingHappened(thing_id=new_id(), number=0))
    async with _running(relay.run):
        await until(lambda: _times(tx, "event.test.handler") == 1)
        await tx.drain()
        assert await unpublished(tx) == 1
    assert handled == [1]
    assert await unpublished(tx) == 0
    assert not await tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM leases"))


async def test_a_relay_that_is_stopped_amid_a_batch_marks_what_is_through(tx: Transactor) -> None:
    through, waiting = list[int](), asyncio.Event()

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        if event.payload["number"] == 1:
            waiting.set()
            await asyncio.Event().wait()  # until the task is given up
        uow.after_commit(lambda: through.append(event.seq))

    relay = Relay(tx, poll_seconds=600, concurrency=1)
    relay.register(ThingHappened.event_type, "test.handler", handler)
    thing = new_id()
    await emit(tx, *(ThingHappened(thing_id=thing, number=number) for number in range(2)))
    async with _running(relay.run):
        await asyncio.wait_for(waiting.wait(), 20)
    assert through == [1]
    assert await unpublished(tx) == 1
