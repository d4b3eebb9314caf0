"""Reviews on the test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock

from tests.worlds.reviews import Reviews


@pytest.fixture
async def reviews(database_url: str) -> AsyncIterator[Reviews]:
    """A marketplace whose reviews are public at once."""
    engine = create_engine(database_url, pool_size=12, pool_timeout_seconds=5)
    tx = Transactor(engine, SystemClock())
    yield Reviews(tx)
    await tx.drain()
    await engine.dispose()
