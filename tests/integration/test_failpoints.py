"""Failpoints end a process as kill -9 does, once, where they say; a transaction is then whole or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from marketd.app import build
from marketd.config import Environment, Settings
from marketd.config.problems import problems_of
from marketd.kernel.db.failpoints import Failpoint, Failpoints
from marketd.process.core import StartRefused
from pydantic import SecretStr

# A process that writes one row in a unit of work, and says so.
WRITER = """
import asyncio, sys
from pathlib import Path
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.failpoints import Failpoints
from marketd.kernel.db.transactor import Transactor

async def main(url, folder):
    engine = create_engine(url)
    tx = Transactor(engine, SystemClock(), failpoints=Failpoints(Path(folder)))

    async def work(uow):
        await uow.connection.execute("INSERT INTO written DEFAULT VALUES")
        uow.after_commit(lambda: print("hook", flush=True))

    await tx.run("test.write", work)
    print("answered", flush=True)
    await engine.dispose()

asyncio.run(main(*sys.argv[1:]))
"""


def write(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the writer to its end, whatever that is."""
    return subprocess.run(
        [sys.executable, "-c", WRITER, url, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )


async def rows(url: str, statement: str = "SELECT count(*) FROM written") -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(statement) or 0)
    finally:
        await connection.close()


async def test_a_process_dies_at_an_armed_point_once_and_its_transaction_is_whole_or_gone(
    database_url: str, scratch: Path
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE written (id serial)")
    await connection.close()
    points = Failpoints(scratch)
    for point, expected in ((Failpoint.BEGUN, 0), (Failpoint.BEFORE_COMMIT, 0), (Failpoint.AFTER_COMMIT, 1)):
        armed = points.arm(point, "test.write")
        points.arm(point, "another.unit")
        died = write(database_url, scratch)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert died.stdout == "", "nobody may be told"
        assert not armed.exists()
        assert await rows(database_url) == expected
        points.path(point, "another.unit").unlink()
    again = write(database_url, scratch)
    assert (again.returncode, again.stdout) == (0, "hook\nanswered\n"), again.stderr
    assert await rows(database_url) == 2


async def test_production_refuses_failpoints_twice(database_url: str, scratch: Path) -> None:
    settings = Settings(
        env=Environment.PRODUCTION,
        database_url=SecretStr(database_url),
        secret=SecretStr("s" * 40),
        password_pepper=SecretStr("p" * 40),
        failpoints=scratch,
        lease=timedelta(seconds=1),
    )
    assert [problem for problem in problems_of(settings) if "MARKETD_FAILPOINTS" in problem]
    with pytest.raises(StartRefused, match="MARKETD_FAILPOINTS"):
        await build(settings)
