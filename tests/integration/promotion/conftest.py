"""The marketplace with its promo codes on the test's database, and a second worker of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from marketd.kernel.db.transactor import Transactor

from tests.integration.units import transactor
from tests.worlds.goods import MovableClock
from tests.worlds.ordering import Market
from tests.worlds.promos import Promos


@pytest.fixture
def promos(tx: Transactor) -> Promos:
    """The promo codes of a marketplace."""
    return Promos(Market(tx, MovableClock()))


@pytest.fixture
async def other(database_url: str, promos: Promos) -> AsyncIterator[Promos]:
    """A second worker, with connections of its own."""
    async with transactor(database_url, pool_size=5) as tx:
        yield Promos(Market(tx, promos.market.clock))
