"""How long a unit of work may take and wait, and what a caller is told when the database has no room or goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import DatabaseUnavailable, DeadlineExceeded, Overloaded
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.ids import new_id

from tests.integration.units import add_one, make_marks, mark, run, transactor


@asynccontextmanager
async def as_served(url: str) -> AsyncIterator[Transactor]:
    """A transactor with one connection; everything else is as every process has it."""
    engine = create_engine(url, pool_size=1)
    try:
        yield Transactor(engine, SystemClock())
    finally:
        await engine.dispose()


async def one(unit: ReadUnit) -> int:
    return int(await unit.connection.fetchval("SELECT 1"))


async def test_a_call_without_time_left_begins_nothing(tx: Transactor) -> None:
    await make_marks(tx)
    begun: list[object] = []

    async def look(unit: ReadUnit) -> None:
        begun.append(unit)

    async def work(uow: UnitOfWork) -> None:
        begun.append(uow)
        await add_one(uow)

    calls.enter(Call(deadline=time.monotonic() - 0.1))
    for asked in (tx.run("test.late", work), tx.run("test.late", work, seconds=5), tx.read(look)):
        with pytest.raises(DeadlineExceeded):
            await asked
    calls.enter(Call())
    await tx.drain()
    assert begun == []
    assert await mark(tx) == 0


async def test_a_unit_has_its_own_time_where_the_call_has_more_and_the_calls_where_that_has_less(
    tx: Transactor,
) -> None:
    async def hang(uow: UnitOfWork | ReadUnit) -> None:
        await uow.connection.execute("SELECT pg_sleep(60)")

    async with asyncio.timeout(20):
        calls.enter(Call(deadline=time.monotonic() + 600))
        with pytest.raises(DeadlineExceeded):
            await run(tx, hang, seconds=0.1)
        for seconds in (None, 600):
            calls.enter(Call(deadline=time.monotonic() + 0.1))
            with pytest.raises(DeadlineExceeded):
                await run(tx, hang, seconds=seconds)
        calls.enter(Call(deadline=time.monotonic() + 0.1))
        with pytest.raises(DeadlineExceeded):
            await tx.read(hang)


async def test_a_full_pool_refuses_at_once_and_is_waited_out_by_who_waits_anyway(database_url: str) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def hold(uow: UnitOfWork) -> None:
        inside.set()
        await go_on.wait()

    async with as_served(database_url) as tx, asyncio.timeout(20):
        holding = asyncio.create_task(tx.run("test.hold", hold, seconds=60))
        await inside.wait()
        patient = asyncio.create_task(tx.read_patiently(one))
        # The call has more time than that; who is told early goes elsewhere.
        calls.enter(Call(deadline=time.monotonic() + 15))
        begun = time.monotonic()
        refused = await asyncio.gather(tx.read(one), tx.run("test.more", add_one), return_exceptions=True)
        assert [type(each) for each in refused] == [Overloaded, Overloaded]
        assert time.monotonic() - begun < 10
        assert not patient.done()
        go_on.set()
        await holding
        assert await patient == 1


async def test_a_database_that_comes_back_is_waited_for_by_who_waits_anyway(database_url: str) -> None:
    tries = 0

    async def away(unit: ReadUnit) -> int:
        nonlocal tries
        tries += 1
        if tries <= 3:  # a read is begun three times before it is refused
            await unit.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await one(unit)

    async with as_served(database_url) as tx, asyncio.timeout(20):
        with pytest.raises(DatabaseUnavailable):
            await tx.read(away)
        tries = 0
        assert await tx.read_patiently(away) == 1
    assert tries == 4


async def test_the_server_itself_ends_what_hangs_on_a_connection_of_ours(database_url: str) -> None:
    async def told(unit: ReadUnit) -> dict[str, str]:
        rows = await unit.connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE source = 'client' AND name ~ 'timeout|application|TimeZone'"
        )
        return {row["name"]: row["setting"] for row in rows}

    async with as_served(database_url) as tx:
        assert await tx.read(told) == {
            "application_name": "marketd",
            "statement_timeout": "30000",
            "idle_in_transaction_session_timeout": "5000",
            "TimeZone": "UTC",
        }


async def test_a_unit_whose_session_is_ended_is_run_again_on_another(database_url: str) -> None:
    ends = {
        "an operator": "SELECT pg_terminate_backend(pg_backend_pid())",
        "the limit of an idle transaction": "SET LOCAL idle_in_transaction_session_timeout = 1",
        "a crash beside it": "DO $$ BEGIN RAISE SQLSTATE '57P02'; END $$",
        "a start": "DO $$ BEGIN RAISE SQLSTATE '57P03'; END $$",
        "the limit of an idle session": "DO $$ BEGIN RAISE SQLSTATE '57P05'; END $$",
        "a pooler": "DO $$ BEGIN RAISE SQLSTATE '08006'; END $$",
        "too many connections": "DO $$ BEGIN RAISE SQLSTATE '53300'; END $$",
    }

    async with transactor(database_url) as tx:
        await make_marks(tx)
        for number, (who, statement) in enumerate(ends.items(), start=1):
            lives = [False, True]

            async def work(uow: UnitOfWork, statement: str = statement, lives: list[bool] = lives) -> None:
                await add_one(uow)
                if not lives.pop(0):
                    await uow.connection.execute(statement)
                    await asyncio.sleep(0.05)  # idle for longer than the limit that one of them sets
                    await uow.connection.execute("SELECT 1")

            await run(tx, work)
            assert (await mark(tx), lives) == (number, []), who


async def test_a_unit_whose_sessions_are_all_ended_is_told_that_the_database_is_away_and_nothing_has_happened(
    database_url: str,
) -> None:
    begun = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal begun
        begun += 1
        await add_one(uow)
        await uow.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async with transactor(database_url) as tx:
        await make_marks(tx)
        with pytest.raises(DatabaseUnavailable) as raised:
            await run(tx, work)
        assert raised.value.metadata == {}
        assert begun == 3
        assert await mark(tx) == 0


async def test_a_server_without_room_for_a_connection_is_away_and_no_bug(database_url: str) -> None:
    role = f"full_{new_id().hex}"
    parts = urlsplit(database_url)
    full = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        async with as_served(full) as tx:
            with pytest.raises(DatabaseUnavailable):
                await tx.read(one)
            with pytest.raises(DatabaseUnavailable):
                await run(tx, add_one)
    finally:
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()


async def test_who_waits_too_long_for_a_lock_is_out_of_time(database_url: str) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def hold(uow: UnitOfWork) -> None:
        await add_one(uow)
        inside.set()
        await go_on.wait()

    async def wait(uow: UnitOfWork) -> None:
        await uow.connection.execute("SET LOCAL lock_timeout = 20")
        await add_one(uow)

    async with transactor(database_url, pool_size=2) as tx:
        await make_marks(tx)
        holding = asyncio.create_task(run(tx, hold))
        await inside.wait()
        with pytest.raises(DeadlineExceeded):
            await run(tx, wait)
        go_on.set()
        await holding


async def test_five_conflicts_in_a_row_are_nobodys_trouble(tx: Transactor) -> None:
    await make_marks(tx)
    conflicts = 5

    async def work(uow: UnitOfWork) -> int:
        nonlocal conflicts
        value = await add_one(uow)
        if conflicts:
            conflicts -= 1
            await uow.connection.execute("DO $$ BEGIN RAISE serialization_failure; END $$")
        return value

    assert await run(tx, work) == 1
    assert await mark(tx) == 1
