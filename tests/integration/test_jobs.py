"""Jobs on real Postgres: a kind that hangs holds up only itself, slots are kept, leases hold, and a cancel ends all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job
from marketd.kernel.values.clock import ManualClock
from marketd.kernel.work.job_runner import JobRunner
from marketd.kernel.work.jobs import Payload
from marketd.process.process import keep_running

from tests.integration.units import add_one, make_marks, mark, transactor
from tests.integration.wires import Wire
from tests.worlds.jobs import run_due

SLOTS = 3
# Nobody polls within a test: what is done was woken for, by a commit or by a slot that came free.
NEVER_SECONDS = 600.0


class Hanging:
    """An outside handler that says nothing until it is let go; it counts how many of it run at once."""

    def __init__(self) -> None:
        self.begun = asyncio.Queue[Payload]()
        self.let_go = asyncio.Semaphore(0)
        self.now = 0
        self.most = 0
        self.ended = 0

    async def __call__(self, payload: Payload) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.begun.put_nowait(payload)
        try:
            await self.let_go.acquire()
        finally:
            self.now -= 1
            self.ended += 1

    async def have_begun(self, count: int) -> None:
        """Return when so many more have begun."""
        for _ in range(count):
            await self.begun.get()


@pytest.fixture
def runner(tx: Transactor) -> JobRunner:
    """Looks for jobs when a commit wrote some, as the app's does."""
    runner = JobRunner(tx, concurrency=SLOTS, poll_seconds=NEVER_SECONDS)
    tx.listen(lambda _committed: runner.wake())
    return runner


@asynccontextmanager
async def working(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[asyncio.Task[None]]:
    """Have the work run beside the test, for ten seconds at most; cancelled and awaited at the end."""
    running = asyncio.create_task(work())
    try:
        async with asyncio.timeout(10):
            yield running
    finally:
        running.cancel()
        await asyncio.wait((running,), timeout=10)
        assert running.done()


async def enqueue(tx: Transactor, kind: str, count: int = 1, **options: Any) -> None:
    """Write so many due jobs of the kind."""

    async def work(uow: UnitOfWork) -> None:
        for number in range(count):
            uow.enqueue(Job(kind=kind, payload={"number": number}, **options))

    await tx.run("test.enqueue", work)


async def jobs_left(tx: Transactor) -> list[Any]:
    """What is in the table; `leased` says that a job is not due."""
    return list(
        await tx.read(
            lambda unit: unit.connection.fetch(
                "SELECT kind, attempts, last_error, run_time > $1 AS leased FROM jobs", unit.now
            )
        )
    )


async def test_an_outside_kind_that_hangs_holds_up_no_transactional_job_and_no_other_outside_kind(
    tx: Transactor, runner: JobRunner
) -> None:
    letters, inside, outside = Hanging(), asyncio.Event(), asyncio.Event()

    async def expire(uow: UnitOfWork, payload: Payload) -> None:
        uow.after_commit(inside.set)

    async def refund(payload: Payload) -> None:
        outside.set()

    runner.register_outside("test.letter", letters)
    runner.register("test.expire", expire)
    runner.register_outside("test.refund", refund)
    await enqueue(tx, "test.letter", 20)
    async with working(runner.run):
        await letters.have_begun(SLOTS)
        await enqueue(tx, "test.expire")
        await inside.wait()
        await enqueue(tx, "test.refund")
        await outside.wait()
        assert letters.ended == 0


async def test_a_transactional_kind_that_hangs_holds_up_no_other(tx: Transactor, runner: JobRunner) -> None:
    hanging, inside = Hanging(), asyncio.Event()

    async def hang(uow: UnitOfWork, payload: Payload) -> None:
        await hanging(payload)

    async def expire(uow: UnitOfWork, payload: Payload) -> None:
        uow.after_commit(inside.set)

    runner.register("test.hang", hang)
    runner.register("test.expire", expire)
    await enqueue(tx, "test.hang", SLOTS)
    async with working(runner.run):
        await hanging.have_begun(SLOTS)
        await enqueue(tx, "test.expire")
        await inside.wait()
        assert hanging.ended == 0
    # The cancel ends who waits for a unit of work, not the unit itself.
    for _ in range(SLOTS):
        hanging.let_go.release()


async def test_no_more_jobs_of_a_kind_are_claimed_and_run_at_once_than_it_has_slots(
    tx: Transactor, runner: JobRunner
) -> None:
    letters = Hanging()
    runner.register_outside("test.letter", letters)
    await enqueue(tx, "test.letter", 10)
    async with working(runner.run):
        await letters.have_begun(SLOTS)
        # What is claimed runs: a job that waited in memory would wait out its lease there.
        assert sorted(job["attempts"] for job in await jobs_left(tx)) == [0] * (10 - SLOTS) + [1] * SLOTS
        for _ in range(10 - SLOTS):
            letters.let_go.release()
            await letters.have_begun(1)
        assert letters.most == SLOTS


async def test_the_oldest_due_jobs_of_a_kind_go_first(tx: Transactor, runner: JobRunner) -> None:
    letters = Hanging()
    runner.register_outside("test.letter", letters)

    async def plan(uow: UnitOfWork) -> None:
        for number in (4, 0, 3, 1, 5, 2):
            run_time = uow.now + timedelta(seconds=number - 10)
            uow.enqueue(Job(kind="test.letter", payload={"number": number}, run_time=run_time))

    await tx.run("test.plan", plan)
    async with working(runner.run):
        first = {(await letters.begun.get())["number"] for _ in range(SLOTS)}
        assert first == {0, 1, 2}


async def test_one_batch_is_run_to_its_end_and_says_whether_there_was_one(tx: Transactor, runner: JobRunner) -> None:
    letters = Hanging()
    for _ in range(SLOTS + 1):
        letters.let_go.release()
    runner.register_outside("test.letter", letters)
    await enqueue(tx, "test.letter", SLOTS + 1)
    assert await run_due(runner)
    assert letters.ended == SLOTS
    assert await run_due(runner)
    assert letters.ended == SLOTS + 1
    assert not await run_due(runner)


async def test_an_outside_handler_is_cut_off_before_its_lease_ends_and_tried_again(
    tx: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters, runner = Hanging(), JobRunner(tx, lease=timedelta(hours=1))
    runner.register_outside("test.letter", letters)
    await enqueue(tx, "test.letter")
    loop = asyncio.get_running_loop()
    before_the_claim, real = loop.time(), loop.time
    running = asyncio.create_task(run_due(runner))
    await letters.have_begun(1)
    for minutes, ended in ((50, 0), (59, 1)):
        # The loop's clock stands still there: nothing of the last minute goes by unseen, however slow the machine is.
        monkeypatch.setattr(loop, "time", lambda minutes=minutes: before_the_claim + minutes * 60)
        for _ in range(10):
            await asyncio.sleep(0)
        assert letters.ended == ended, f"after {minutes} of the 60 minutes of its lease"
    monkeypatch.setattr(loop, "time", real)
    assert await running
    (job,) = await jobs_left(tx)
    assert (job["attempts"], job["last_error"], job["leased"]) == (1, "TimeoutError: ", True)


async def test_a_runner_that_has_lost_its_lease_leaves_the_job_to_whoever_took_it(
    tx: Transactor, database_url: str
) -> None:
    await make_marks(tx)
    clock = ManualClock(datetime.now(UTC))

    async def handler(uow: UnitOfWork, payload: Payload) -> None:
        await add_one(uow)

    async with (
        Wire(database_url) as wire,
        transactor(wire.url, clock=clock) as slow,
        transactor(database_url, clock=clock) as quick,
    ):
        first, second = JobRunner(slow), JobRunner(quick)
        for runner in (first, second):
            runner.register("test.job", handler)
        await enqueue(quick, "test.job")
        # It has claimed the job, and then nothing of it comes through until its lease is over.
        wire.hold_after(b"COMMIT")
        running = asyncio.create_task(run_due(first))
        async with asyncio.timeout(10):
            await wire.holding.wait()
        assert not await run_due(second)
        clock.advance(timedelta(seconds=31))
        assert await run_due(second)
        assert await mark(tx) == 1
        wire.let_go()
        assert await running
    assert await mark(tx) == 1
    assert await jobs_left(tx) == []


async def test_a_job_that_runs_past_its_lease_is_neither_begun_beside_itself_nor_waited_for(
    tx: Transactor, database_url: str
) -> None:
    await make_marks(tx)
    clock, inside, go_on = ManualClock(datetime.now(UTC)), asyncio.Queue[str](), asyncio.Event()

    async def slow(uow: UnitOfWork, payload: Payload) -> None:
        await add_one(uow, 1)
        inside.put_nowait("slow")
        await go_on.wait()

    async def quick(uow: UnitOfWork, payload: Payload) -> None:
        await add_one(uow, 2)

    async with (
        transactor(database_url, pool_size=4, clock=clock) as moved,
        asyncio.timeout(10),
        asyncio.TaskGroup() as group,
    ):
        runners = [JobRunner(moved), JobRunner(moved)]
        for runner in runners:
            runner.register("test.slow", slow)
            runner.register("test.quick", quick)
        await enqueue(moved, "test.slow")
        first = group.create_task(run_due(runners[0]))
        await inside.get()
        await enqueue(moved, "test.quick")
        clock.advance(timedelta(seconds=31))
        assert await run_due(runners[1])
        assert (await mark(tx, 1), await mark(tx, 2)) == (0, 1)
        go_on.set()
        assert await first
        assert not await run_due(runners[1])
    assert inside.empty()
    assert (await mark(tx, 1), await mark(tx, 2)) == (1, 1)
    assert await jobs_left(tx) == []


async def test_a_failure_of_a_runner_that_has_lost_its_lease_leaves_the_new_holders_lease_alone(
    tx: Transactor, database_url: str
) -> None:
    clock, begun, go_on = ManualClock(datetime.now(UTC)), asyncio.Queue[int](), [asyncio.Event(), asyncio.Event()]

    async def send(payload: Payload) -> None:
        number = begun_so_far.pop()
        begun.put_nowait(number)
        await go_on[number].wait()
        raise LookupError("the provider said no")

    begun_so_far = [1, 0]
    async with transactor(database_url, pool_size=4, clock=clock) as moved, asyncio.timeout(10):
        runners = [JobRunner(moved), JobRunner(moved)]
        for each in runners:
            each.register_outside("test.send", send)
        await enqueue(moved, "test.send")
        first = asyncio.create_task(run_due(runners[0]))
        assert await begun.get() == 0
        clock.advance(timedelta(seconds=31))
        second = asyncio.create_task(run_due(runners[1]))
        assert await begun.get() == 1
        go_on[0].set()
        assert await first
        due = await tx.read(lambda unit: unit.connection.fetchval("SELECT run_time FROM jobs"))
        assert due == clock.now() + timedelta(seconds=30)
        go_on[1].set()
        assert await second
    (left,) = await jobs_left(tx)
    assert left["attempts"] == 2


async def test_jobs_cut_off_by_the_cancel_all_end_and_are_due_again_after_their_lease(
    tx: Transactor, runner: JobRunner
) -> None:
    letters, texts = Hanging(), Hanging()
    runner.register_outside("test.letter", letters)
    runner.register_outside("test.text", texts)
    await enqueue(tx, "test.letter", SLOTS)
    await enqueue(tx, "test.text", SLOTS)
    async with working(runner.run) as running:
        await letters.have_begun(SLOTS)
        await texts.have_begun(SLOTS)
    assert running.cancelled()
    assert (letters.ended, texts.ended) == (SLOTS, SLOTS)
    assert all(job["leased"] and job["last_error"] is None for job in await jobs_left(tx))

    await tx.run("test.due", lambda uow: uow.connection.execute("UPDATE jobs SET run_time = $1", uow.now))
    for _ in range(SLOTS):
        letters.let_go.release()
        texts.let_go.release()
    # Their slots came free with the cancel.
    assert await run_due(runner)
    assert await jobs_left(tx) == []


async def test_a_job_that_fails_while_it_is_ended_does_not_keep_the_background_work_going(
    tx: Transactor, runner: JobRunner
) -> None:
    begun = asyncio.Event()

    async def fail(payload: Payload) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("the provider went first")

    runner.register_outside("test.letter", fail)
    await enqueue(tx, "test.letter")
    async with working(lambda: keep_running(runner.run, pause_seconds=0)) as running:
        await begun.wait()
    assert running.done()


async def test_a_failure_that_cannot_be_recorded_cuts_off_no_other_job(tx: Transactor, runner: JobRunner) -> None:
    letters, failing = Hanging(), asyncio.Queue[Payload]()

    async def fail(payload: Payload) -> None:
        failing.put_nowait(payload)
        raise LookupError("PostgreSQL keeps no text with a \0 in it")

    runner.register_outside("test.letter", letters)
    runner.register_outside("test.fail", fail)
    await enqueue(tx, "test.letter")
    async with working(runner.run):
        await letters.have_begun(1)
        await enqueue(tx, "test.fail", SLOTS + 1)
        # The last one gets the slot of one whose failure is behind it.
        for _ in range(SLOTS + 1):
            await failing.get()
        assert letters.ended == 0
    failed = [job for job in await jobs_left(tx) if job["kind"] == "test.fail"]
    assert all((job["attempts"], job["last_error"], job["leased"]) == (1, None, True) for job in failed)
    assert len(failed) == SLOTS + 1


async def test_a_job_that_has_no_try_left_is_kept_as_a_dead_letter(tx: Transactor, runner: JobRunner) -> None:
    async def fail(payload: Payload) -> None:
        raise LookupError("planted")

    runner.register_outside("test.fail", fail)
    await enqueue(tx, "test.fail", max_attempts=1)
    assert await run_due(runner)
    assert await jobs_left(tx) == []
    dead = await tx.read(lambda unit: unit.connection.fetch("SELECT kind, error FROM dead_letters"))
    assert [(row["kind"], row["error"]) for row in dead] == [("test.fail", "LookupError: planted")]


async def test_a_job_under_a_key_is_there_once_however_often_it_is_asked_for_until_it_is_done(tx: Transactor) -> None:
    done: list[Payload] = []

    async def handler(_uow: UnitOfWork, payload: Payload) -> None:
        done.append(payload)

    runner = JobRunner(tx)
    runner.register("test.keyed", handler)

    async def ask(number: int) -> None:
        async def work(uow: UnitOfWork) -> None:
            uow.enqueue(Job(kind="test.keyed", payload={"number": number}, dedup_key="test:1"))

        await tx.run("test.ask", work)

    await ask(1)
    await ask(2)
    await run_due(runner)
    assert done == [{"number": 1}]
    await ask(3)
    await run_due(runner)
    assert done == [{"number": 1}, {"number": 3}]
