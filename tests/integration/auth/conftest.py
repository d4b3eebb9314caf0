"""Auth's workers on the test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.canary_looks import look_at_tables
from tests.worlds.auth import Builder, House


@pytest.fixture
async def builder(database_url: str) -> AsyncIterator[Builder]:
    """Makes workers on the test's database."""
    async with AsyncExitStack() as stack:
        yield Builder(database_url, stack)
    await look_at_tables(database_url)


@pytest.fixture
async def house(builder: Builder) -> House:
    """One worker."""
    return await builder.build()
