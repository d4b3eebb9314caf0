"""Administrators of the workers that are shared, and a pair of its own for what would change those."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from marketd.config import Settings

from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import Person, Worker, make_admin, pair


@pytest_asyncio.fixture(loop_scope="session")
async def boss(workers: tuple[Worker, Worker]) -> Person:
    """An administrator who has signed in."""
    return await workers[0].login(ADMIN_EMAIL, ADMIN_PASSWORD)


@pytest_asyncio.fixture(loop_scope="session")
async def own_workers(settings: Settings) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers of the test's own: it changes keys, or looks at all that there is."""
    await make_admin(settings)
    async with pair(settings) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def own_boss(own_workers: tuple[Worker, Worker]) -> Person:
    """An administrator who has signed in to them."""
    return await own_workers[0].login(ADMIN_EMAIL, ADMIN_PASSWORD)
