"""What fails in the background is tried again for as long as it is worth it, with the pauses and bounds that every
process has, and is then kept for a person to look at: nothing here is told another number of tries than the default.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

import pytest
import structlog
from marketd.kernel.call.refusals import Overloaded
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events import relay as relays
from marketd.kernel.events.events import Job, StoredEvent
from marketd.kernel.events.relay import LEASE_NAME, Relay
from marketd.kernel.values.clock import ManualClock
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.job_runner import JobRunner
from marketd.kernel.work.jobs import Payload
from marketd.kernel.work.leases import take_lease

from tests.integration.units import ThingHappened, emit, run, transactor
from tests.worlds.jobs import hand_on, run_due


class AgainHappened(ThingHappened):
    """The second version of its kind."""

    version: ClassVar[int] = 2


async def enqueue(tx: Transactor, *jobs: Job) -> None:
    async def work(uow: UnitOfWork) -> None:
        for job in jobs:
            uow.enqueue(job)

    await run(tx, work)


async def dead_letters(tx: Transactor) -> list[tuple[str, UUID, object, str]]:
    rows = await tx.read(
        lambda unit: unit.connection.fetch("SELECT kind, source_id, payload::text, error FROM dead_letters")
    )
    return [(row["kind"], row["source_id"], json.loads(row["payload"]), row["error"]) for row in rows]


@pytest.mark.parametrize("is_outside", [False, True], ids=["inside", "outside"])
async def test_a_job_is_tried_for_an_hour_with_growing_pauses_and_then_kept_whole(
    database_url: str, is_outside: bool
) -> None:
    clock = ManualClock(datetime.now(UTC))
    tries = 0

    async def fail(*_given: object) -> None:
        nonlocal tries
        tries += 1
        raise LookupError("the provider said no")

    async with transactor(database_url, clock=clock) as tx:
        runner = JobRunner(tx)
        if is_outside:
            runner.register_outside("test.fail", fail)
        else:
            runner.register("test.fail", fail)
        await enqueue(tx, Job(kind="test.fail", payload={"number": 7}))
        pauses: list[int] = []
        job_id = None
        while await run_due(runner):
            row = await tx.read(lambda unit: unit.connection.fetchrow("SELECT job_id, run_time FROM jobs"))
            if row is None:
                break
            job_id = row["job_id"]
            pauses.append(round((row["run_time"] - clock.now()).total_seconds()))
            clock.advance(timedelta(seconds=pauses[-1] - 1))
            assert not await run_due(runner), "it is not due yet"
            clock.advance(timedelta(seconds=1))
        assert pauses == [2, 4, 8, 16, 32, 64, 128, 256] + [300] * 11
        assert tries == 20
        assert await dead_letters(tx) == [
            ("test.fail", job_id, {"number": 7}, "LookupError: the provider said no"),
        ]


async def test_an_event_is_tried_for_minutes_with_growing_pauses_and_then_kept_whole_and_passed(
    database_url: str,
) -> None:
    clock = ManualClock(datetime.now(UTC))
    tries, passed, thing = 0, list[tuple[int, int]](), new_id()

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        nonlocal tries
        if event.payload["number"] == 7:
            tries += 1
            raise LookupError("planted")
        uow.after_commit(lambda: passed.append((event.seq, event.version)))

    async with transactor(database_url, clock=clock) as tx:
        relay = Relay(tx)
        relay.register(AgainHappened.event_type, "test.handler", handler)
        await emit(tx, AgainHappened(thing_id=thing, number=7), AgainHappened(thing_id=thing, number=8))
        await hand_on(relay)
        pauses: list[float] = []
        event_id = None
        while not passed:
            row = await tx.read(
                lambda unit: unit.connection.fetchrow(
                    "SELECT event_id, next_attempt_time FROM outbox_events WHERE seq = 1"
                )
            )
            assert row is not None
            event_id = row["event_id"]
            pauses.append((row["next_attempt_time"] - clock.now()).total_seconds())
            clock.advance(timedelta(seconds=pauses[-1]))
            await hand_on(relay)
        assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 75, 75]
        assert tries == 12
        assert passed == [(2, 2)]
        payload = {"thing_id": str(thing), "number": 7}
        assert await dead_letters(tx) == [
            ("test.handler:thing.happened", event_id, payload, "LookupError: planted"),
        ]


async def test_a_transactional_job_has_the_time_of_its_lease_and_not_that_of_a_call(database_url: str) -> None:
    """PostgreSQL is told how long the job may take, and it says it here."""
    told: list[int] = []

    async def handler(uow: UnitOfWork, payload: Payload) -> None:
        told.append(
            await uow.connection.fetchval("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'")
        )

    async with transactor(database_url) as tx:
        for lease in (60, 20):
            runner = JobRunner(tx, lease=timedelta(seconds=lease))
            runner.register("test.job", handler)
            await enqueue(tx, Job(kind="test.job", payload={}))
            assert await run_due(runner)
    assert 20_000 < told[0] <= 60_000
    assert 5_000 < told[1] <= 20_000


async def test_jobs_and_events_that_nobody_was_told_of_are_found_by_looking(tx: Transactor) -> None:
    done = asyncio.Semaphore(0)

    async def job(_payload: Payload) -> None:
        done.release()

    async def handler(uow: UnitOfWork, _event: StoredEvent) -> None:
        uow.after_commit(done.release)

    runner, relay = JobRunner(tx), Relay(tx)
    runner.register_outside("test.job", job)
    relay.register(AgainHappened.event_type, "test.handler", handler)
    running = [asyncio.create_task(each.run()) for each in (runner, relay)]
    async with asyncio.timeout(20):
        for number in range(2):  # what the first look finds, and what comes after it
            await enqueue(tx, Job(kind="test.job", payload={}))
            await emit(tx, AgainHappened(thing_id=new_id(), number=number))
            await done.acquire()
            await done.acquire()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_relay_hands_on_all_that_waits_without_a_pause_and_leaves_its_place_to_the_next(
    tx: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_GATHER_SECONDS", 600.0)
    seen = asyncio.Queue[object]()

    async def handler(uow: UnitOfWork, event: StoredEvent) -> None:
        uow.after_commit(lambda: seen.put_nowait(event.payload["number"]))

    thing = new_id()
    await emit(tx, *(AgainHappened(thing_id=thing, number=number) for number in range(7)))
    relay = Relay(tx, batch=2, poll_seconds=600)
    relay.register(AgainHappened.event_type, "test.handler", handler)
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(20):
        assert [await seen.get() for _ in range(7)] == list(range(7))
    assert not await run(tx, lambda uow: take_lease(uow, LEASE_NAME, new_id(), timedelta(seconds=1)))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await run(tx, lambda uow: take_lease(uow, LEASE_NAME, new_id(), timedelta(seconds=1)))


async def test_background_work_that_is_refused_goes_on_and_ends_nothing_that_runs(database_url: str) -> None:
    """The pool is full for a while: neither the relay nor the runner ends, and a job that is on its way stays so."""
    begun, let_go, handled = asyncio.Queue[object](), asyncio.Event(), asyncio.Event()
    inside, go_on = asyncio.Event(), asyncio.Event()
    cut_off: list[object] = []

    async def job(payload: Payload) -> None:
        begun.put_nowait(payload["number"])
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            cut_off.append(payload["number"])
            raise

    async def handler(uow: UnitOfWork, _event: StoredEvent) -> None:
        uow.after_commit(handled.set)

    async def hold(uow: UnitOfWork) -> None:
        inside.set()
        await go_on.wait()

    async def hold_the_pool() -> None:
        while not inside.is_set():  # the background may have the connection at this moment
            with contextlib.suppress(Overloaded):
                await run(tx, hold)

    async with transactor(database_url) as other, transactor(database_url, pool_timeout_seconds=0.05) as tx:
        runner, relay = JobRunner(tx, poll_seconds=0.05), Relay(tx, poll_seconds=0.05)
        runner.register_outside("test.job", job)
        relay.register(AgainHappened.event_type, "test.handler", handler)
        await enqueue(other, Job(kind="test.job", payload={"number": 1}))
        with structlog.testing.capture_logs() as said:
            running = [asyncio.create_task(each.run()) for each in (runner, relay)]
            async with asyncio.timeout(20):
                assert await begun.get() == 1
                holding = asyncio.create_task(hold_the_pool())
                await inside.wait()
                await enqueue(other, Job(kind="test.job", payload={"number": 2}))
                await emit(other, AgainHappened(thing_id=new_id(), number=1))
                while not {"jobs_waiting", "relay_waiting"} <= {line["event"] for line in said}:
                    assert not any(task.done() for task in running)
                    await asyncio.sleep(0.01)
                go_on.set()
                await holding
                assert await begun.get() == 2
                await handled.wait()
        assert cut_off == []
        let_go.set()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
