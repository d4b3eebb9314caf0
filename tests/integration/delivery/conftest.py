"""Delivery on the test's database."""

from __future__ import annotations

import pytest
from marketd.kernel.db.transactor import Transactor

from tests.worlds.delivery import World


@pytest.fixture
def world(tx: Transactor) -> World:
    """The slice, its couriers and the orders that they bring."""
    return World(tx)
