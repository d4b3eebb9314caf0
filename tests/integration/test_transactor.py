"""The unit of work on real Postgres: commit, rollback, retry, deadline, the stored answer, and its neighbours."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.refusals import RequestIdReused
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork


async def _table(tx: Transactor) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.connection.execute("CREATE TABLE marks (id int PRIMARY KEY, value int NOT NULL DEFAULT 0)")
        await uow.connection.execute("INSERT INTO marks SELECT generate_series(1, 10)")

    await tx.run("test.table", work)


async def _value(tx: Transactor, key: int) -> int:
    return int(await tx.read(lambda unit: unit.connection.fetchval("SELECT value FROM marks WHERE id = $1", key)))


async def test_what_raises_leaves_nothing_behind(tx: Transactor) -> None:
    await _table(tx)

    async def work(uow: UnitOfWork) -> None:
        await uow.connection.execute("UPDATE marks SET value = 1 WHERE id = 1")
        raise LookupError("undo it")

    with pytest.raises(LookupError):
        await tx.run("test.undone", work)
    assert await _value(tx, 1) == 0


async def test_deadlocks_are_run_again_until_both_sides_are_through(tx: Transactor) -> None:
    await _table(tx)
    first_tries = asyncio.Barrier(2)
    tries = 0

    async def cross(uow: UnitOfWork, one: int, other: int, *, meet: list[bool]) -> None:
        nonlocal tries
        tries += 1
        await uow.connection.execute("UPDATE marks SET value = value + 1 WHERE id = $1", one)
        if meet.pop():
            await first_tries.wait()
        await uow.connection.execute("UPDATE marks SET value = value + 1 WHERE id = $1", other)

    left, right = [False] * 8 + [True], [False] * 8 + [True]
    await asyncio.gather(
        tx.run("test.left", lambda uow: cross(uow, 1, 2, meet=left)),
        tx.run("test.right", lambda uow: cross(uow, 2, 1, meet=right)),
    )
    assert tries == 3
    assert (await _value(tx, 1), await _value(tx, 2)) == (2, 2)


async def test_a_caller_that_goes_away_does_not_cut_the_work_in_half(tx: Transactor) -> None:
    await _table(tx)
    inside = asyncio.Event()

    async def work(uow: UnitOfWork) -> None:
        await uow.connection.execute("UPDATE marks SET value = 7 WHERE id = 1")
        inside.set()
        await uow.connection.execute("SELECT pg_sleep(0.05)")
        await uow.connection.execute("UPDATE marks SET value = 7 WHERE id = 2")

    caller = asyncio.create_task(tx.run("test.cut", work))
    await inside.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await tx.drain()
    assert (await _value(tx, 1), await _value(tx, 2)) == (7, 7)


def _once(request_id: str, fingerprint: bytes = b"same") -> OnceKey:
    return OnceKey("caller", "/marketplace.test.v1.Test/Do", request_id, fingerprint)


async def _answer(tx: Transactor, once: OnceKey) -> bytes:
    calls.enter(Call(once=once))

    async def work(uow: UnitOfWork) -> int:
        await uow.connection.execute("UPDATE marks SET value = value + 1 WHERE id = 1")
        await uow.connection.execute("SELECT pg_sleep(0.02)")
        return int(await uow.connection.fetchval("SELECT value FROM marks WHERE id = 1"))

    answer: object = await tx.answer("test.once", work, lambda value: StringValue(value=f"{value} {uuid4()}"))
    assert isinstance(answer, bytes)
    return answer


async def test_fifty_calls_with_one_request_id_have_one_effect_and_one_answer(tx: Transactor) -> None:
    await _table(tx)
    key = _once(str(uuid4()))
    answers = await asyncio.gather(*(asyncio.create_task(_answer(tx, key)) for _ in range(50)))
    assert len(set(answers)) == 1
    assert await _value(tx, 1) == 1


async def test_another_request_under_the_same_id_is_refused(tx: Transactor) -> None:
    await _table(tx)
    request_id = str(uuid4())
    await _answer(tx, _once(request_id))
    with pytest.raises(RequestIdReused):
        await _answer(tx, _once(request_id, b"different"))
    assert await _value(tx, 1) == 1
