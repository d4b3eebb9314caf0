"""Outbox, relay, jobs and broadcast on real Postgres: order, exactly one effect, retries, and who wakes whom."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events import outbox
from marketd.kernel.events.broadcast import PostgresBroadcast
from marketd.kernel.events.events import Job, StoredEvent, read_event
from marketd.kernel.events.relay import Relay
from marketd.kernel.values.clock import ManualClock
from marketd.kernel.values.ids import new_id
from marketd.kernel.work import sweeps
from marketd.kernel.work.job_runner import JobRunner
from marketd.kernel.work.jobs import Payload
from marketd.process.process import keep_running

from tests.integration.units import (
    ThingHappened,
    add_one,
    answer,
    emit,
    make_marks,
    mark,
    transactor,
    unpublished,
    until,
)
from tests.integration.wires import Wire
from tests.worlds.jobs import hand_on


async def test_several_aggregates_are_read_at_once_each_after_its_own_place(tx: Transactor) -> None:
    first, second, quiet = sorted(new_id() for _ in range(3))
    await emit(tx, *(ThingHappened(thing_id=first, number=number) for number in range(4)))
    await emit(tx, *(ThingHappened(thing_id=second, number=number) for number in range(2)))
    places = [(second, 0), (first, 1), (quiet, 0)]
    found = await tx.read(lambda unit: outbox.read_aggregates(unit.connection, places, limit=2))
    assert [(event.aggregate_id, event.seq) for event in found] == [(first, 2), (first, 3), (second, 1), (second, 2)]
    assert found[0].payload["number"] == 1
    seen = [(first, 4), (second, 1), (quiet, 0)]
    assert await tx.read(lambda unit: outbox.find_behind(unit.connection, seen)) == [second]
    assert await tx.read(lambda unit: outbox.last_seq(unit.connection, quiet)) == 0


async def test_sequence_numbers_have_no_gaps_under_concurrent_writers_and_rollbacks(tx: Transactor) -> None:
    things = [new_id() for _ in range(3)]

    async def writer(number: int) -> None:
        both = [ThingHappened(thing_id=thing, number=number) for thing in (things if number % 2 else things[::-1])]
        if number % 5 == 0:
            with pytest.raises(Exception, match="division by zero"):
                await emit(tx, *both, fail=True)
        else:
            await emit(tx, *both, both[0])

    await asyncio.gather(*(writer(number) for number in range(40)))
    for thing in things:
        events = await tx.read(lambda unit, thing=thing: outbox.read_aggregate(unit.connection, thing, 0))  # type: ignore[misc]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert len(events) >= 32


async def test_each_handler_sees_each_event_once_and_in_order_with_two_relays(tx: Transactor) -> None:
    seen: list[tuple[UUID, int]] = []

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        happened = read_event(ThingHappened, event)
        await uow.connection.execute("SELECT 1")
        uow.after_commit(lambda: seen.append((happened.thing_id, happened.number)))

    relays = [Relay(tx, lease=timedelta(seconds=1), poll_seconds=0.05) for _ in range(2)]
    for relay in relays:
        relay.register("thing.happened", "test.handler", handler)
    things = [new_id() for _ in range(5)]
    running = [asyncio.create_task(relay.run()) for relay in relays]
    for number in range(20):
        await emit(tx, *(ThingHappened(thing_id=thing, number=number) for thing in things))
        if number == 10:
            # The leader dies without giving its lease back; the other one takes over when it has run out.
            running[0].cancel()
    await until(lambda: len(seen) >= 100)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert len(seen) == 100
    for thing in things:
        assert [number for owner, number in seen if owner == thing] == list(range(20))


async def test_a_failing_handler_holds_back_its_aggregate_alone_and_gives_up_into_the_dead_letters(
    tx: Transactor,
) -> None:
    bad, good = new_id(), new_id()
    seen: list[tuple[UUID, int]] = []

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        happened = read_event(ThingHappened, event)
        if happened.thing_id == bad and happened.number == 0:
            raise LookupError("planted")
        uow.after_commit(lambda: seen.append((happened.thing_id, happened.number)))

    relay = Relay(tx, poll_seconds=0.05, max_attempts=2)
    relay.register("thing.happened", "test.handler", handler)
    await emit(tx, *(ThingHappened(thing_id=thing, number=number) for number in range(2) for thing in (bad, good)))
    await hand_on(relay)
    assert seen == [(good, 0), (good, 1)]
    running = asyncio.create_task(relay.run())
    await until(lambda: (bad, 1) in seen)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    letters = await tx.read(lambda unit: unit.connection.fetch("SELECT kind, error FROM dead_letters"))
    assert [(row["kind"], row["error"]) for row in letters] == [("test.handler:thing.happened", "LookupError: planted")]


async def test_a_relay_that_dies_between_an_effect_and_its_mark_leaves_nothing_to_be_done_twice(
    tx: Transactor,
) -> None:
    await make_marks(tx)
    running: list[asyncio.Task[None]] = []

    def die() -> None:
        """The effect is committed, and whoever would mark the event is gone."""
        running[0].cancel()

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        await add_one(uow)
        uow.after_commit(die)

    await emit(tx, ThingHappened(thing_id=new_id(), number=1))
    for _ in range(2):
        relay = Relay(tx)
        relay.register(ThingHappened.event_type, "test.handler", handler)
        running[:] = [asyncio.create_task(hand_on(relay))]
        await asyncio.wait(running)
        assert await unpublished(tx) == (1 if running[0].cancelled() else 0)
    assert not running[0].cancelled()
    assert await mark(tx) == 1


async def test_a_retry_calls_only_the_handler_that_failed_when_it_is_due_and_before_what_follows(
    database_url: str,
) -> None:
    clock = ManualClock(datetime.now(UTC))
    failures, order = ["planted"], list[int]()

    async def done(uow: UnitOfWork, event: StoredEvent) -> None:
        await add_one(uow, event.seq)

    async def fails_once(uow: UnitOfWork, event: StoredEvent) -> None:
        if failures:
            raise LookupError(failures.pop())
        uow.after_commit(lambda: order.append(event.seq))

    async with transactor(database_url, pool_size=2, clock=clock) as tx:
        await make_marks(tx)
        relay = Relay(tx)
        relay.register(ThingHappened.event_type, "test.done", done)
        relay.register(ThingHappened.event_type, "test.fails", fails_once)
        thing = new_id()
        await emit(tx, ThingHappened(thing_id=thing, number=1), ThingHappened(thing_id=thing, number=2))
        for _ in range(2):  # the second time its retry is not due, so its followers wait too
            await hand_on(relay)
            assert (await mark(tx, 1), await mark(tx, 2), await unpublished(tx), order) == (1, 0, 2, [])
        clock.advance(timedelta(minutes=5))
        await hand_on(relay)
        assert (await mark(tx, 1), await mark(tx, 2), await unpublished(tx), order) == (1, 1, 0, [1, 2])


async def test_a_failure_that_cannot_be_recorded_ends_no_relay_and_the_event_comes_again(tx: Transactor) -> None:
    thing, told = new_id(), list[int]()

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        if not told:
            told.append(0)
            await asyncio.Event().wait()  # the database does not answer; the deadline cuts this off
        told.append(event.seq)

    relay = Relay(tx)
    relay.register(ThingHappened.event_type, "test.waits", handler)
    await emit(tx, ThingHappened(thing_id=thing, number=1))
    # No time is left when the failure is to be written down, as when the database is away.
    calls.enter(Call(deadline=time.monotonic() + 0.5))
    await hand_on(relay)
    calls.enter(Call())
    await hand_on(relay)
    assert told == [0, 1]


async def test_a_job_runs_once_though_two_runners_look_for_it_and_retries_after_a_failure(tx: Transactor) -> None:
    done: list[int] = []
    failed: list[int] = []

    async def handler(uow: UnitOfWork, payload: Payload) -> None:
        number = payload["number"]
        assert isinstance(number, int)
        if number == 3 and not failed:
            failed.append(number)
            raise LookupError("planted")
        uow.after_commit(lambda: done.append(number))

    async def plan(uow: UnitOfWork) -> None:
        for number in range(10):
            uow.enqueue(Job(kind="test.job", payload={"number": number}, dedup_key=f"job-{number}"))
            uow.enqueue(Job(kind="test.job", payload={"number": number}, dedup_key=f"job-{number}"))
        uow.enqueue(Job(kind="test.job", payload={"number": 99}, run_time=uow.now + timedelta(hours=1)))

    await tx.run("test.plan", plan)
    runners = [JobRunner(tx, poll_seconds=0.05) for _ in range(2)]
    for runner in runners:
        runner.register("test.job", handler)
    running = [asyncio.create_task(runner.run()) for runner in runners]
    await until(lambda: len(done) == 10)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert sorted(done) == list(range(10))
    assert failed == [3]


async def test_a_broadcast_reaches_other_workers_and_survives_its_connection_being_cut(
    tx: Transactor, database_url: str
) -> None:
    left, right = (PostgresBroadcast(database_url, flush_seconds=0.01, heartbeat_seconds=0.2) for _ in range(2))
    heard: list[bytes] = []
    gaps: list[bool] = []
    right.subscribe("topic", heard.append, lambda: gaps.append(True))
    running = [asyncio.create_task(side.run()) for side in (left, right)]
    await asyncio.gather(left.connected.wait(), right.connected.wait())
    for number in range(500):
        left.publish("topic", b"same" if number % 2 else str(number).encode())
    await until(lambda: len(heard) == 500)
    assert heard[:3] == [b"0", b"same", b"2"]
    await tx.read(
        lambda unit: unit.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query ~ 'pg_notify|LISTEN' AND pid <> pg_backend_pid()"
        )
    )
    await until(lambda: len(gaps) >= 2)
    await left.connected.wait()
    left.publish("topic", b"after")
    await until(lambda: heard[-1] == b"after")
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


# What the driver makes of them: an error that PostgreSQL has no name for, and one that no library means to raise.
@pytest.mark.parametrize("rubbish", [b"E\0\0\0\5\0Z\0\0\0\5I" * 2, b"2\0\0\0\4Z\0\0\0\5I"], ids=["nameless", "driver"])
async def test_what_a_dying_connection_took_along_is_announced_by_the_next_one(
    database_url: str, rubbish: bytes
) -> None:
    async with Wire(database_url) as wire:
        # Heartbeats that do not come: nothing is waited for.
        left = PostgresBroadcast(wire.url, flush_seconds=0.01, heartbeat_seconds=60)
        right = PostgresBroadcast(database_url, flush_seconds=0.01, heartbeat_seconds=60)
        heard: list[bytes] = []
        right.subscribe("topic", heard.append)
        running = [asyncio.create_task(keep_running(side.run, pause_seconds=0.01)) for side in (left, right)]
        await asyncio.gather(left.connected.wait(), right.connected.wait())
        left.publish("topic", b"before")
        await until(lambda: heard == [b"before"])
        wire.answer_next_with(rubbish)
        left.publish("topic", b"meanwhile")
        await until(lambda: len(heard) > 1)
        assert heard == [b"before", b"meanwhile"]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_housekeeping_drops_what_has_served_its_time_and_nothing_else(database_url: str) -> None:
    clock, keep = ManualClock(datetime.now(UTC)), timedelta(hours=1)
    old, handled = new_id(), new_id()

    async def left(tx: Transactor) -> dict[str, int]:
        return {
            table: await tx.read(lambda unit, table=table: unit.connection.fetchval(f"SELECT count(*) FROM {table}"))  # type: ignore[misc]
            for table in ("idempotency_keys", "outbox_events", "handled_events")
        }

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        """Only that it ran counts."""

    async with transactor(database_url, clock=clock) as tx:
        await make_marks(tx)
        relay = Relay(tx)
        relay.register(ThingHappened.event_type, "test.handler", handler)
        for request_id in (old, handled):
            await answer(tx, add_one, request_id=str(request_id))
            calls.enter(Call())
            await emit(tx, ThingHappened(thing_id=new_id(), number=1))
            await hand_on(relay)
            clock.advance(keep)
        await emit(tx, ThingHappened(thing_id=new_id(), number=3))
        # The older event is two hours old, the newer one an hour, and one has never been handed on.
        swept = partial(sweeps.sweep, keep_events=keep)
        assert await tx.run("test.sweep", swept) == 1
        assert await left(tx) == {"idempotency_keys": 2, "outbox_events": 2, "handled_events": 2}
        clock.advance(timedelta(seconds=1))
        # That an event was handled is known for twice as long as the event is kept.
        assert await tx.run("test.sweep", swept) == 2
        assert await left(tx) == {"idempotency_keys": 2, "outbox_events": 1, "handled_events": 1}
        clock.advance(timedelta(hours=46) - timedelta(seconds=1))
        assert await tx.run("test.sweep", swept) == 1
        assert await left(tx) == {"idempotency_keys": 2, "outbox_events": 1, "handled_events": 0}
        clock.advance(timedelta(seconds=1))
        assert await tx.run("test.sweep", swept) == 1
        assert await left(tx) == {"idempotency_keys": 1, "outbox_events": 1, "handled_events": 0}
