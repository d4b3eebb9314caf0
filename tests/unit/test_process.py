"""Background work: what fails is begun again, so that a process never serves without it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from marketd.process.process import keep_running


async def test_background_work_that_fails_or_ends_is_begun_again_until_it_is_cancelled() -> None:
    begun: list[int] = []
    goes_on = asyncio.Event()

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            raise ExceptionGroup("a task group's", [RuntimeError("a bug")])
        if len(begun) == 2:
            return
        goes_on.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(keep_running(work, pause_seconds=0))
    async with asyncio.timeout(5):
        await goes_on.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert begun == [0, 1, 2]


async def test_work_that_fails_at_once_each_time_rests_a_second_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that a database in trouble would be asked, and the log written, as fast as a core can."""
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 3:
            raise asyncio.CancelledError

    async def work() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(asyncio, "sleep", rest)
    with pytest.raises(asyncio.CancelledError):
        await keep_running(work)
    assert rests == [1.0, 1.0, 1.0]


async def test_background_work_that_fails_while_it_is_cancelled_ends() -> None:
    goes_on = asyncio.Event()

    async def work() -> None:
        goes_on.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("the database went first")

    running = asyncio.create_task(keep_running(work, pause_seconds=0))
    await goes_on.wait()
    running.cancel()
    async with asyncio.timeout(5):
        await running


def test_the_supervisor_does_without_what_only_workers_need() -> None:
    """It starts in a moment, and spawns from a process that has no gRPC in it."""
    program = "import sys, marketd.commands.serve, marketd.commands.worker; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"grpc", "asyncpg", "sqlalchemy", "structlog", "prometheus_client", "alembic"} & {
        *ran.stdout.split()
    } == set()
