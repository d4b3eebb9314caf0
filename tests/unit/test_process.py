"""Background work: what fails is begun again, so that a process never serves without it."""

from __future__ import annotations

import asyncio

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
