"""Hints between workers, and the watches that follow them: none is told twice or kept back, and what a lost one would
have said is found all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from marketd.kernel.call.refusals import Overloaded
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events import broadcast as broadcasts
from marketd.kernel.events import watch as watches
from marketd.kernel.events.broadcast import LocalBroadcast, PostgresBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import Batch, Beat, missed_events
from marketd.kernel.values.ids import new_id

from tests.integration.units import ThingHappened, emit, run, transactor
from tests.integration.wires import Wire


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in callbacks that know no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*sides: PostgresBroadcast) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(side.run()) for side in sides]
    async with asyncio.timeout(20):
        await asyncio.gather(*(side.connected.wait() for side in sides))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# -- the broadcast


async def test_a_burst_of_equal_messages_arrives_whole_and_once_each_and_the_oldest_of_too_many_goes_first(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasts, "MAX_PENDING", 3_000)
    left, right = (PostgresBroadcast(database_url, heartbeat_seconds=60) for _ in range(2))
    own: list[bytes] = []
    heard: list[bytes] = []
    left.subscribe("topic", own.append)
    right.subscribe("topic", heard.append)
    async with running(left, right):
        for _ in range(2_000):  # many payloads, which are all alike
            left.publish("topic", b"x" * 40)
        await until(lambda: len(heard) >= 2_000)
        # A message that no payload can carry is its publisher's error, and holds up nobody else's.
        with pytest.raises(ValueError, match="too long"):
            left.publish("topic", b"x" * 6_000)
        left.publish("topic", b"x" * 5_000)
        left.publish("topic", b"last")
        await until(lambda: heard[-1] == b"last")
        assert len(heard) == 2_002
        assert len(own) == 2_003
        heard.clear()
    for number in range(3_001):  # nobody sends them now
        left.publish("topic", b"%d" % number)
    async with running(right, left):
        await until(lambda: bool(heard) and heard[-1] == b"3000")
        assert heard == [b"%d" % number for number in range(300, 3_001)]


async def test_a_listener_that_hears_nothing_any_more_begins_anew_and_says_that_it_may_have_missed_something(
    database_url: str,
) -> None:
    gaps: list[bool] = []
    async with Wire(database_url) as wire:
        # Statements are answered, and no notification comes: a pooler that lends its connections for a transaction.
        wire.lose_notifications()
        side = PostgresBroadcast(wire.url, heartbeat_seconds=0.05)
        side.subscribe("topic", lambda _: None, lambda: gaps.append(True))
        async with running(side):
            await until(lambda: len(gaps) >= 3)


# -- the feed


async def test_watchers_wake_on_their_own_aggregates_events_however_many_there_are(tx: Transactor) -> None:
    feed = Feed(LocalBroadcast())
    tx.listen(feed.committed)
    mine, other = new_id(), new_id()
    watch = feed.watch(mine)
    await emit(tx, ThingHappened(thing_id=other, number=1))
    assert not await watch.wait(0.05)
    await emit(tx, ThingHappened(thing_id=mine, number=1))
    assert await watch.wait(5)
    assert not await watch.wait(0.01), "a wake-up is one"
    many = [new_id() for _ in range(450)]
    crowd = [feed.watch(key) for key in many]
    await emit(tx, *(ThingHappened(thing_id=key, number=1) for key in many))
    assert all([await each.wait(5) for each in crowd])
    for each in (watch, *crowd):
        each.close()
    assert not feed.watches
    assert not feed.open


async def test_a_gap_wakes_every_watcher(tx: Transactor) -> None:
    broadcast = LocalBroadcast()
    feed = Feed(broadcast)
    both = [feed.watch(new_id()), feed.watch()]
    broadcast.announce_gap()
    assert all([await each.wait(5) for each in both])


# -- watches


async def _read(unit: ReadUnit, after: int | None, *, thing: UUID) -> Batch[object, int]:
    """The reader of one thing: its events two at a time, and a snapshot where some are missing."""
    found = None if after is None else await missed_events(unit, thing, after, limit=2)
    if found is None:
        last = await unit.connection.fetchval("SELECT last_seq FROM aggregate_sequences WHERE aggregate_id = $1", thing)
        return Batch(last or 0, [(last or 0, "snapshot")])
    events, more = found
    place = events[-1].seq if events else after
    assert place is not None
    return Batch(place, [(event.seq, event.payload["number"]) for event in events], more)


def watching(
    tx: Transactor, feed: Feed, thing: UUID, *, after: int | None = None, **options: Any
) -> AsyncGenerator[tuple[int, object | Beat], None]:
    async def read(unit: ReadUnit, place: int | None) -> Batch[object, int]:
        return await _read(unit, place, thing=thing)

    return watches.watch(tx, feed, [thing], read, after=after, **options)


async def take(stream: AsyncGenerator[tuple[int, object | Beat], None], count: int) -> list[tuple[int, object]]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


async def test_a_watch_tells_what_is_and_every_change_once_and_goes_on_where_it_stood(tx: Transactor) -> None:
    feed, thing = Feed(LocalBroadcast()), new_id()
    tx.listen(feed.committed)
    await emit(tx, *(ThingHappened(thing_id=thing, number=number) for number in range(3)))
    # Nothing but wake-ups: whoever polled would come too late.
    async with aclosing(watching(tx, feed, thing, poll_seconds=600, beat_seconds=600)) as stream:
        assert await take(stream, 1) == [(3, "snapshot")]
        await emit(tx, *(ThingHappened(thing_id=thing, number=number) for number in range(3, 8)))
        assert await take(stream, 5) == [(number + 1, number) for number in range(3, 8)]
        waiting = asyncio.create_task(take(stream, 1))
        await emit(tx, ThingHappened(thing_id=thing, number=8))
        assert await waiting == [(9, 8)]
    assert not feed.watches
    async with aclosing(watching(tx, feed, thing, after=4)) as stream:
        assert await take(stream, 5) == [(number + 1, number) for number in range(4, 9)]
    # Ahead of what there is, and behind what is kept: both begin anew.
    await tx.run("test.sweep", lambda uow: uow.connection.execute("DELETE FROM outbox_events WHERE seq <= 2"))
    for after in (10, 1):
        async with aclosing(watching(tx, feed, thing, after=after)) as stream:
            assert await take(stream, 1) == [(9, "snapshot")]
    async with aclosing(watching(tx, feed, thing, after=2)) as stream:
        assert await take(stream, 1) == [(3, 2)]
    await tx.run("test.sweep", lambda uow: uow.connection.execute("DELETE FROM outbox_events"))
    async with aclosing(watching(tx, feed, thing, after=8)) as stream:
        assert await take(stream, 1) == [(9, "snapshot")]


async def test_a_watch_finds_what_nobody_has_told_it_of(tx: Transactor) -> None:
    feed, thing = Feed(LocalBroadcast()), new_id()  # which hears of no commit
    async with aclosing(watching(tx, feed, thing, beat_seconds=600)) as stream:  # nor is it for a beat that it looks
        assert await take(stream, 1) == [(0, "snapshot")]
        await emit(tx, ThingHappened(thing_id=thing, number=0))
        assert await take(stream, 1) == [(1, 0)]


async def test_a_watch_beats_after_ten_quiet_seconds(tx: Transactor, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, thing = Feed(LocalBroadcast()), new_id()
    tx.listen(feed.committed)
    ahead = 0.0
    monkeypatch.setattr(watches, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead))
    async with aclosing(watching(tx, feed, thing, poll_seconds=0.01)) as stream:
        await take(stream, 1)
        next_one = asyncio.create_task(take(stream, 1))
        for ahead in (8.0, 16.0):
            done, _ = await asyncio.wait((next_one,), timeout=0.1 if ahead == 8.0 else 20)
            assert bool(done) is (ahead == 16.0)
        [(place, beat)] = next_one.result()
        assert place == 0
        assert isinstance(beat, Beat)
        # The next one is ten seconds away again.
        next_one = asyncio.create_task(take(stream, 1))
        ahead = 20.0
        done, _ = await asyncio.wait((next_one,), timeout=0.1)
        assert not done
        ahead = 27.0
        [(_, beat)] = await next_one
        assert isinstance(beat, Beat)


async def test_a_full_pool_refuses_a_new_watch_and_ends_none_that_goes_on(database_url: str) -> None:
    feed, thing = Feed(LocalBroadcast()), new_id()
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def hold(uow: UnitOfWork) -> None:
        inside.set()
        await go_on.wait()

    async with transactor(database_url, pool_timeout_seconds=0.1) as tx:
        await emit(tx, ThingHappened(thing_id=thing, number=0))
        async with aclosing(watching(tx, feed, thing, poll_seconds=600)) as stream:
            await take(stream, 1)
            holding = asyncio.create_task(run(tx, hold))
            await inside.wait()
            for late in (watching(tx, feed, thing), watching(tx, feed, new_id())):
                with pytest.raises(Overloaded):
                    await take(late, 1)
            going_on = asyncio.create_task(take(stream, 1))
            resumed = asyncio.create_task(take(watching(tx, feed, thing, after=0), 1))
            feed.wake(thing)
            done, _ = await asyncio.wait((going_on, resumed), timeout=0.3)
            assert not done
            go_on.set()
            await holding
            await emit(tx, ThingHappened(thing_id=thing, number=1))
            assert await resumed == [(1, 0)]
            feed.wake(thing)
            assert await going_on == [(2, 1)]
