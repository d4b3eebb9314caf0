"""What buyers are told of a variant, and whether they can order it, by its policy and what is there."""

from __future__ import annotations

import pytest
from marketd.inventory.model import StockPolicy, StockState
from marketd.inventory.values import NOTHING, Availability

TRACKED, UNTRACKED, CONTINUE = StockPolicy.TRACKED, StockPolicy.UNTRACKED, StockPolicy.CONTINUE


@pytest.mark.parametrize(
    ("policy", "states"),
    [
        (TRACKED, ["OUT_OF_STOCK", "OUT_OF_STOCK", "LOW_STOCK", "LOW_STOCK", "IN_STOCK"]),
        (CONTINUE, ["BACKORDER", "BACKORDER", "LOW_STOCK", "LOW_STOCK", "IN_STOCK"]),
        (UNTRACKED, ["IN_STOCK"] * 5),
    ],
)
def test_buyers_learn_how_well_a_variant_can_be_had(policy: StockPolicy, states: list[str]) -> None:
    assert [Availability(policy, available).state.value for available in (-7, 0, 1, 5, 6)] == states


def test_only_what_is_tracked_can_be_short() -> None:
    assert [Availability(TRACKED, 3).covers(quantity) for quantity in (1, 3, 4)] == [True, True, False]
    assert not Availability(TRACKED, -1).covers(1)
    assert all(Availability(policy, -1).covers(1000) for policy in (UNTRACKED, CONTINUE))


def test_a_variant_without_stock_cannot_be_had() -> None:
    assert Availability.read(None) is NOTHING
    assert NOTHING.state is StockState.OUT_OF_STOCK
    assert not NOTHING.covers(1)
    assert Availability.read(("CONTINUE", -2)) == Availability(CONTINUE, -2)
