"""What database errors must not tell: values of anybody's row, in logs and in what is kept of failed jobs."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
import structlog
from marketd.kernel.db.database import DATABASE_ERRORS, create_engine, in_short, without_rows
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job
from marketd.kernel.work.job_runner import JobRunner
from marketd.kernel.work.jobs import Payload
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.worlds.jobs import run_due

_SSL_REQUEST = bytes.fromhex("00000008 04d2162f")
ADDRESS = "kim.private@example.com"
_TAKEN = "INSERT INTO accounts (user_id, email, full_name, password_hash, state, create_time, update_time) SELECT"
_VALUES = " gen_random_uuid(), {}, '', '', 'ACTIVE', now(), now()"


async def _twice(uow: UnitOfWork, payload: Payload) -> None:
    for _ in range(2):
        await uow.connection.execute(_TAKEN + _VALUES.format("$1"), ADDRESS)


async def test_an_unforeseen_database_error_leaves_nothing_of_the_row_in_log_and_dead_letters(tx: Transactor) -> None:
    jobs = JobRunner(tx)
    jobs.register("test.twice", _twice)

    async def enqueue(uow: UnitOfWork) -> None:
        uow.enqueue(Job(kind="test.twice", payload={}, max_attempts=1))

    await tx.run("test.enqueue", enqueue)
    with structlog.testing.capture_logs() as logged:
        await run_due(jobs)
    error = next(entry["exc_info"] for entry in logged if entry["event"] == "job_failed")
    assert ADDRESS in str(error)
    kept = await tx.read(lambda unit: unit.connection.fetchval("SELECT error FROM dead_letters"))
    assert kept.startswith("UniqueViolationError: duplicate key")
    assert ADDRESS not in kept
    assert ADDRESS not in without_rows(str(error))


async def test_the_mapped_dress_hides_parameters_too(database_url: str) -> None:
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        statement = text(_TAKEN + _VALUES.format(":email"))
        await connection.execute(statement, {"email": ADDRESS})
        with pytest.raises(IntegrityError) as refused:
            await connection.execute(statement, {"email": ADDRESS})
    await engine.dispose()
    assert ADDRESS not in in_short(cast("Exception", refused.value))


@pytest.mark.parametrize(("mode", "goes_on"), [("disable", True), ("prefer", True), ("require", False)])
async def test_the_database_url_says_whether_the_connection_must_be_encrypted(mode: str, goes_on: bool) -> None:
    in_plain_text: list[bytes] = []

    async def without_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A PostgreSQL that has no TLS, and hangs up on what else is said."""
        asked = await reader.readexactly(8)
        if asked == _SSL_REQUEST:
            writer.write(b"N")
            asked = await reader.read(8)
        in_plain_text.extend([asked] if asked else [])
        writer.close()

    async with await asyncio.start_server(without_tls, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        engine = create_engine(f"postgresql://nobody@127.0.0.1:{port}/none?sslmode={mode}")
        with pytest.raises(DATABASE_ERRORS):
            await engine.connect()
        await engine.dispose()
    assert bool(in_plain_text) is goes_on
