"""The unit of work when things break: a lost COMMIT, one that undoes, statements without end, and what is left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from marketd.kernel.call.refusals import DatabaseUnavailable, DeadlineExceeded
from marketd.kernel.db.transactor import Committed, Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import Job

from tests.integration.units import add_one, answer, make_marks, mark, run, transactor
from tests.integration.wires import Wire


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    """A wire to the test's database."""
    async with Wire(database_url) as opened:
        yield opened


class Counted:
    """Work that adds one to a mark, counts how often it was begun, and hears of its commit."""

    def __init__(self) -> None:
        self.begun = 0
        self.heard = 0

    async def __call__(self, uow: UnitOfWork) -> int:
        self.begun += 1
        uow.after_commit(self._hear)
        return await add_one(uow)

    def _hear(self) -> None:
        self.heard += 1


@pytest.mark.parametrize("is_committed", [True, False], ids=["answer-lost", "commit-lost"])
async def test_a_lost_commit_is_told_as_an_unknown_outcome_and_is_never_run_again(
    tx: Transactor, wire: Wire, is_committed: bool
) -> None:
    await make_marks(tx)
    work = Counted()
    async with transactor(wire.url) as far:
        (wire.lose_answer_to if is_committed else wire.lose)(b"COMMIT")
        with pytest.raises(DatabaseUnavailable) as raised:
            await run(far, work)
        assert raised.value.metadata == {"outcome": "unknown"}
        assert (work.begun, work.heard) == (1, 0)
        assert await mark(tx) == int(is_committed)
        # The next unit gets a connection that lives.
        await run(far, work)
    assert await mark(tx) == int(is_committed) + 1


@pytest.mark.parametrize("is_committed", [True, False], ids=["answer-lost", "commit-lost"])
async def test_a_repeat_after_a_lost_commit_finds_out_what_became_of_it(
    tx: Transactor, wire: Wire, is_committed: bool
) -> None:
    await make_marks(tx)
    work, request_id = Counted(), str(uuid4())
    async with transactor(wire.url) as far:
        (wire.lose_answer_to if is_committed else wire.lose)(b"COMMIT")
        with pytest.raises(DatabaseUnavailable):
            await answer(far, work, request_id=request_id)
        await answer(far, work, request_id=request_id)
    assert work.begun == (1 if is_committed else 2)
    assert await mark(tx) == 1


async def test_a_connection_lost_before_the_commit_is_no_ones_trouble(tx: Transactor, wire: Wire) -> None:
    await make_marks(tx)
    work = Counted()
    async with transactor(wire.url) as far:
        wire.lose(b"UPDATE marks")
        await run(far, work)
    assert (work.begun, work.heard) == (2, 1)
    assert await mark(tx) == 1


async def test_work_that_goes_on_after_a_failed_statement_is_not_taken_for_done(database_url: str) -> None:
    heard: list[str] = []
    committed: list[Committed] = []

    async def work(uow: UnitOfWork) -> str:
        uow.after_commit(lambda: heard.append("committed"))
        await add_one(uow)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await uow.connection.execute("SELECT 1 / 0")
        return "done"  # the transaction is aborted; PostgreSQL answers its COMMIT with ROLLBACK, and with no error

    async def with_a_job(uow: UnitOfWork) -> str:
        uow.enqueue(Job(kind="test.job", payload={}))
        return await work(uow)

    async with transactor(database_url) as only:
        await make_marks(only)
        only.listen(committed.append)
        with pytest.raises(RuntimeError):
            await run(only, work)
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await run(only, with_a_job)
        assert (heard, committed) == ([], [])
        # The pool's one connection is none the worse.
        assert await run(only, add_one) == 1
        assert await mark(only) == 1


async def test_work_that_goes_on_after_a_failed_statement_has_no_answer(tx: Transactor) -> None:
    await make_marks(tx)
    request_id = str(uuid4())

    async def work(uow: UnitOfWork) -> int:
        value = await add_one(uow)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await uow.connection.execute("SELECT 1 / 0")
        return value

    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await answer(tx, work, request_id=request_id)
    await answer(tx, add_one, request_id=request_id)
    assert await mark(tx) == 1


async def test_a_statement_ends_in_the_database_too_when_its_time_is_up(tx: Transactor, wire: Wire) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(20)'"

    async def work(uow: UnitOfWork) -> None:
        # From here on the process cannot ask for the statement's end: that would take a new connection. Only a limit
        # that PostgreSQL was told before ends it.
        wire.take_no_more()
        await uow.connection.execute("SELECT pg_sleep(20)")

    async with transactor(wire.url) as far:
        with pytest.raises(DeadlineExceeded):
            await run(far, work, seconds=0.3)
        async with asyncio.timeout(5):
            while await tx.read(lambda unit: unit.connection.fetchval(sleeping)):  # noqa: ASYNC110 - PostgreSQL tells no one
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("where", ["between statements", "in a statement"])
async def test_what_was_cut_off_at_its_deadline_leaves_nothing_to_the_next_unit_of_the_pool(
    database_url: str, where: str
) -> None:
    async def work(uow: UnitOfWork) -> None:
        await add_one(uow)
        await uow.connection.execute("SET LOCAL statement_timeout = 0")
        await uow.connection.execute("SELECT set_config('test.left_behind', 'something', false)")
        if where == "in a statement":
            await uow.connection.execute("SELECT pg_sleep(20)")
        else:
            await asyncio.Event().wait()

    async def look(uow: UnitOfWork) -> str:
        assert await add_one(uow) == 1
        return str(await uow.connection.fetchval("SELECT current_setting('test.left_behind', true)") or "")

    async with transactor(database_url) as only:
        await make_marks(only)
        with pytest.raises(DeadlineExceeded):
            await run(only, work, seconds=0.1)
        await only.drain()
        assert await run(only, look) == ""
        assert await mark(only) == 1


async def test_readers_do_not_feel_that_their_pooled_connections_are_gone(tx: Transactor, wire: Wire) -> None:
    await make_marks(tx)
    async with transactor(wire.url) as far:

        async def value(unit: ReadUnit) -> int:
            return int(await unit.connection.fetchval("SELECT value FROM marks WHERE id = 1"))

        # The connection breaks in a statement that it is asked for the first time: later ones go by their number.
        wire.lose(b"SELECT value FROM marks")
        assert await far.read(value) == 0
        assert not wire.is_losing


async def test_a_read_that_is_cut_off_in_a_statement_leaves_a_pool_that_works(
    tx: Transactor, database_url: str
) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(19)'"
    async with transactor(database_url) as only:
        caller = asyncio.create_task(only.read(lambda unit: unit.connection.execute("SELECT pg_sleep(19)")))
        async with asyncio.timeout(5):
            while not await tx.read(lambda unit: unit.connection.fetchval(sleeping)):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await only.read(lambda unit: unit.connection.fetchval("SELECT 1")) == 1


async def test_a_column_that_is_added_while_statements_are_prepared_stops_nobody(tx: Transactor) -> None:
    async def everything(uow: UnitOfWork) -> int:
        return len(await uow.connection.fetchrow("SELECT * FROM marks") or ())

    await make_marks(tx)
    assert await run(tx, everything) == 2
    await run(tx, lambda uow: uow.connection.execute("ALTER TABLE marks ADD COLUMN note text"))
    assert await run(tx, everything) == 3
