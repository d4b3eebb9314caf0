"""The unit of work on real Postgres: commit, rollback, retry, the stored answer, and its neighbours."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound, Refusal, RequestIdReused, RequestInProgress
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.clock import ManualClock

from tests.integration.units import add_one, answer, make_marks, mark, run, transactor


async def test_what_raises_leaves_nothing_behind(tx: Transactor) -> None:
    await make_marks(tx)

    async def work(uow: UnitOfWork) -> None:
        await add_one(uow)
        raise LookupError("undo it")

    with pytest.raises(LookupError):
        await run(tx, work)
    assert await mark(tx) == 0


async def test_deadlocks_are_run_again_until_both_sides_are_through(tx: Transactor) -> None:
    await make_marks(tx)
    first_tries = asyncio.Barrier(2)
    tries = 0

    async def cross(uow: UnitOfWork, one: int, other: int, *, meet: list[bool]) -> None:
        nonlocal tries
        tries += 1
        await add_one(uow, one)
        if meet.pop():
            await first_tries.wait()
        await add_one(uow, other)

    left, right = [False] * 8 + [True], [False] * 8 + [True]
    await asyncio.gather(
        run(tx, lambda uow: cross(uow, 1, 2, meet=left)),
        run(tx, lambda uow: cross(uow, 2, 1, meet=right)),
    )
    assert tries == 3
    assert (await mark(tx, 1), await mark(tx, 2)) == (2, 2)


async def test_an_update_that_others_have_overtaken_is_run_again(tx: Transactor) -> None:
    await make_marks(tx)
    hooks: list[int] = []
    tries = 0

    async def work(uow: UnitOfWork) -> int:
        nonlocal tries
        tries += 1
        number = tries
        uow.after_commit(lambda: hooks.append(number))
        await uow.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await uow.connection.execute("SELECT value FROM marks")
        if number == 1:
            await run(tx, add_one)
        return await add_one(uow)  # 40001 the first time: its snapshot is from before the other's update

    assert await run(tx, work) == 2
    assert await mark(tx) == 2
    assert (tries, hooks) == (2, [2])


async def test_a_conflict_that_only_the_commit_finds_is_run_again(tx: Transactor) -> None:
    await make_marks(tx)
    have_read, have_written = asyncio.Barrier(2), asyncio.Barrier(2)
    tries: Counter[int] = Counter()
    hooks: list[int] = []

    async def move(uow: UnitOfWork, key: int) -> None:
        """Give the mark what all of them make together and one more: no order of two of these makes them equal."""
        tries[key] += 1
        first = tries[key] == 1
        uow.after_commit(lambda: hooks.append(key))
        await uow.connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        together = await uow.connection.fetchval("SELECT sum(value) FROM marks")
        if first:
            await have_read.wait()
        await uow.connection.execute("UPDATE marks SET value = $2 WHERE id = $1", key, together + 1)
        if first:
            await have_written.wait()  # nothing is left to do now but the commit

    await asyncio.gather(*(run(tx, lambda uow, key=key: move(uow, key)) for key in (1, 2)))  # type: ignore[misc]
    assert sorted([await mark(tx, 1), await mark(tx, 2)]) == [1, 2]
    assert tries.total() == 3
    assert sorted(hooks) == [1, 2]


async def test_a_conflict_that_never_ends_is_told_as_one_within_the_time_of_the_unit(tx: Transactor) -> None:
    tries = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        await uow.connection.execute("DO $$ BEGIN RAISE serialization_failure; END $$")

    with pytest.raises(ConcurrentUpdate):
        await run(tx, work, seconds=1)
    assert tries > 1


async def test_a_caller_that_goes_away_does_not_cut_the_work_in_half(tx: Transactor) -> None:
    await make_marks(tx)
    inside = asyncio.Event()

    async def work(uow: UnitOfWork) -> None:
        await add_one(uow, 1)
        inside.set()
        await uow.connection.execute("SELECT pg_sleep(0.05)")
        await add_one(uow, 2)

    caller = asyncio.create_task(run(tx, work))
    await inside.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await tx.drain()
    assert (await mark(tx, 1), await mark(tx, 2)) == (1, 1)


async def test_fifty_calls_with_one_request_id_have_one_effect_and_one_answer(tx: Transactor) -> None:
    await make_marks(tx)
    request_id = str(uuid4())

    async def work(uow: UnitOfWork) -> int:
        value = await add_one(uow)
        await uow.connection.execute("SELECT pg_sleep(0.02)")
        return value

    answers = await asyncio.gather(*(asyncio.create_task(answer(tx, work, request_id=request_id)) for _ in range(50)))
    assert len(set(answers)) == 1
    assert await mark(tx) == 1


async def test_another_request_under_the_same_id_is_refused(tx: Transactor) -> None:
    await make_marks(tx)
    request_id = str(uuid4())
    await answer(tx, add_one, request_id=request_id)
    with pytest.raises(RequestIdReused):
        await answer(tx, add_one, request_id=request_id, fingerprint=b"different")
    assert await mark(tx) == 1


async def test_the_same_id_of_another_caller_or_for_another_method_is_another_request(tx: Transactor) -> None:
    await make_marks(tx)
    request_id = str(uuid4())
    answers = [
        await answer(tx, add_one, request_id=request_id, caller_key=caller, method=method, fingerprint=method.encode())
        for _ in range(2)
        for caller, method in (("kim", "Do"), ("lee", "Do"), ("kim", "Undo"))
    ]
    assert answers[:3] == answers[3:]
    assert len(set(answers)) == 3
    assert await mark(tx) == 3


async def test_another_callers_request_of_the_same_id_does_not_wait_for_it(tx: Transactor) -> None:
    await make_marks(tx)
    request_id, inside, go_on = str(uuid4()), asyncio.Event(), asyncio.Event()

    async def work(uow: UnitOfWork) -> int:
        inside.set()
        await go_on.wait()
        return await add_one(uow)

    first = asyncio.create_task(answer(tx, work, request_id=request_id, caller_key="kim"))
    await inside.wait()
    await answer(tx, add_one, request_id=request_id, caller_key="lee", seconds=2)
    await answer(tx, add_one, request_id=request_id, caller_key="kim", method="Undo", seconds=2)
    go_on.set()
    await first
    assert await mark(tx) == 3


async def test_a_duplicate_whose_time_is_up_before_the_first_call_is_through_learns_that_it_runs(
    tx: Transactor,
) -> None:
    await make_marks(tx)
    request_id, inside, go_on = str(uuid4()), asyncio.Event(), asyncio.Event()

    async def work(uow: UnitOfWork) -> int:
        inside.set()
        await go_on.wait()
        return await add_one(uow)

    first = asyncio.create_task(answer(tx, work, request_id=request_id))
    await inside.wait()
    with pytest.raises(RequestInProgress):
        await answer(tx, add_one, request_id=request_id, seconds=0.2)
    go_on.set()
    assert await answer(tx, add_one, request_id=request_id) == await first
    assert await mark(tx) == 1


@pytest.mark.parametrize("request_id", ["", str(UUID(int=1))], ids=["without an id", "with an id"])
async def test_an_answer_that_cannot_be_rendered_leaves_no_effect(tx: Transactor, request_id: str) -> None:
    await make_marks(tx)

    class Unspeakable:
        def __str__(self) -> str:
            raise LookupError("there are no words for it")

    async def work(uow: UnitOfWork) -> Unspeakable:
        await add_one(uow)
        return Unspeakable()

    with pytest.raises(LookupError):
        await answer(tx, work, request_id=request_id)
    assert await mark(tx) == 0
    await answer(tx, add_one, request_id=request_id)
    assert await mark(tx) == 1


@pytest.mark.parametrize("request_id", ["", str(UUID(int=2))], ids=["without an id", "with an id"])
async def test_a_refusal_that_work_returns_keeps_what_was_written_and_is_no_answer(
    tx: Transactor, request_id: str
) -> None:
    await make_marks(tx)

    async def work(uow: UnitOfWork) -> int | Refusal:
        value = await add_one(uow)
        return NotFound("code", "123") if value < 3 else value

    for _ in range(2):
        with pytest.raises(NotFound):
            await answer(tx, work, request_id=request_id)
    assert await mark(tx) == 2
    await answer(tx, work, request_id=request_id)
    assert await mark(tx) == 3


async def test_a_call_that_failed_leaves_its_request_id_to_whichever_process_is_asked_next(
    tx: Transactor, database_url: str
) -> None:
    await make_marks(tx)
    request_id = str(uuid4())

    async def work(uow: UnitOfWork) -> None:
        raise NotFound("mark", "eleven")

    async with transactor(database_url) as other:
        with pytest.raises(NotFound):
            await answer(other, work, request_id=request_id)
        await answer(tx, add_one, request_id=request_id, seconds=2)
    assert await mark(tx) == 1


async def test_an_answer_is_kept_for_its_time_and_then_the_request_is_done_anew(
    tx: Transactor, database_url: str
) -> None:
    await make_marks(tx)
    clock, request_id = ManualClock(datetime.now(UTC)), str(uuid4())
    async with transactor(database_url, clock=clock) as moved:
        first = await answer(moved, add_one, request_id=request_id)
        clock.advance(timedelta(hours=48) - timedelta(seconds=1))
        assert await answer(moved, add_one, request_id=request_id) == first
        clock.advance(timedelta(seconds=1))
        # Nobody has swept the old answer away. The id is free again, for another request too.
        second = await answer(moved, add_one, request_id=request_id, fingerprint=b"different")
        assert second != first
        assert await answer(moved, add_one, request_id=request_id, fingerprint=b"different") == second
    assert await mark(tx) == 2


async def test_every_unit_is_counted_by_its_name_and_how_it_ended(tx: Transactor) -> None:
    await make_marks(tx)

    async def refused(uow: UnitOfWork) -> None:
        raise NotFound("mark", "eleven")

    async def broken(uow: UnitOfWork) -> None:
        raise LookupError("a bug")

    await tx.run("test.counted", add_one)
    await tx.run("test.counted", add_one)
    with pytest.raises(NotFound):
        await tx.run("test.counted", refused)
    with pytest.raises(LookupError):
        await tx.run("test.counted", broken)
    found = {outcome: sum(time.buckets) for unit, outcome, time in tx.times if unit == "test.counted"}
    assert found == {"OK": 2, "NOT_FOUND": 1, "BROKEN": 1}


async def test_a_unit_whose_caller_has_gone_is_counted_by_how_it_ended(tx: Transactor) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def patient(uow: UnitOfWork) -> None:
        begun.set()
        await go_on.wait()

    caller = asyncio.create_task(tx.run("test.left", patient))
    await begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    go_on.set()
    await tx.drain()
    assert [outcome for unit, outcome, _ in tx.times if unit == "test.left"] == ["OK"]
