"""Tracking on the test's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.broadcast import LocalBroadcast, PostgresBroadcast
from marketd.kernel.values.clock import SystemClock

from tests.worlds.tracking import Worker, World, run_worker


@pytest.fixture
async def world(tx: Transactor) -> AsyncIterator[World]:
    """A database without partitions for its days (the default one takes all); the invariants must hold in the end."""
    made = World(tx)
    yield made
    assert await made.violations() == []


@pytest.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    """One worker."""
    async with run_worker(world.tx, LocalBroadcast()) as made:
        yield made


@pytest.fixture
async def quick_heart(world: World) -> AsyncIterator[Worker]:
    """A worker whose heartbeats come soon."""
    async with run_worker(world.tx, LocalBroadcast(), times={"heartbeat_seconds": 0.1, "gather_seconds": 0.02}) as made:
        yield made


@pytest.fixture
async def workers(world: World, database_url: str) -> AsyncIterator[list[Worker]]:
    """Two workers with nothing in common but the database; the world acts through the first."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        made: list[Worker] = []
        tasks: list[asyncio.Task[None]] = []
        for _ in range(2):
            broadcast = PostgresBroadcast(database_url)
            tasks.append(group.create_task(broadcast.run()))
            await broadcast.connected.wait()
            engine = create_engine(database_url, pool_size=5, pool_timeout_seconds=5)
            stack.push_async_callback(engine.dispose)
            tx = Transactor(engine, SystemClock())
            stack.push_async_callback(tx.drain)
            made.append(await stack.enter_async_context(run_worker(tx, broadcast)))
        before, world.tx = world.tx, made[0].tx
        yield made
        world.tx = before
        await stack.aclose()
        for task in tasks:
            task.cancel()
