"""The marketplace on the test's database, and a second worker of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor

from tests.worlds.goods import MovableClock
from tests.worlds.ordering import Market


@asynccontextmanager
async def _engine_of_its_own(url: str, clock: MovableClock) -> AsyncIterator[Transactor]:
    engine = create_engine(url, pool_size=20, pool_timeout_seconds=5)
    tx = Transactor(engine, clock)
    yield tx
    await tx.drain()
    await engine.dispose()


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    """The marketplace on the test's own database."""
    clock = MovableClock()
    async with _engine_of_its_own(database_url, clock) as tx:
        yield Market(tx, clock)


@pytest.fixture
async def other(database_url: str, market: Market) -> AsyncIterator[Market]:
    """A second worker on an engine of its own."""
    async with _engine_of_its_own(database_url, market.clock) as tx:
        yield market.on(tx)
