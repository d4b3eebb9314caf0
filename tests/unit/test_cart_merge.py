"""What becomes of the lines of a guest's cart: strategy by overlap by what a line and a cart may hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import pytest
from marketd.auth.ports import MergeLine, MergeOutcome, MergeStrategy
from marketd.cart.merge import combine
from marketd.cart.model import MAX_LINE_QUANTITY, MAX_LINES
from marketd.cart.values import CartItem

NOW: Final = datetime(2026, 11, 30, tzinfo=UTC)
SUM, MAX, GUEST, USER = (
    MergeStrategy.SUM,
    MergeStrategy.KEEP_MAX,
    MergeStrategy.PREFER_GUEST,
    MergeStrategy.PREFER_USER,
)
ADDED, COMBINED, KEPT = MergeOutcome.ADDED, MergeOutcome.COMBINED, MergeOutcome.KEPT
LIMITED, DROPPED = MergeOutcome.LIMITED, MergeOutcome.DROPPED

# strategy; pieces in the account's cart (0: the variant is not there) and in the guest's; pieces afterwards, and why
TABLE: Final = [
    (SUM, 0, 3, 3, ADDED),
    (SUM, 0, 999, 999, ADDED),
    (SUM, 2, 3, 5, COMBINED),
    (SUM, 3, 3, 6, COMBINED),
    (SUM, 500, 499, 999, COMBINED),
    (SUM, 500, 500, 999, LIMITED),
    (SUM, 999, 1, 999, LIMITED),
    (SUM, 999, 999, 999, LIMITED),
    (MAX, 0, 3, 3, ADDED),
    (MAX, 2, 3, 3, COMBINED),
    (MAX, 3, 3, 3, KEPT),
    (MAX, 3, 2, 3, KEPT),
    (MAX, 999, 999, 999, KEPT),
    (MAX, 1, 999, 999, COMBINED),
    (GUEST, 0, 3, 3, ADDED),
    (GUEST, 2, 3, 3, COMBINED),
    (GUEST, 3, 3, 3, KEPT),
    (GUEST, 3, 2, 2, COMBINED),
    (GUEST, 999, 1, 1, COMBINED),
    (USER, 0, 3, 3, ADDED),
    (USER, 2, 3, 2, KEPT),
    (USER, 3, 3, 3, KEPT),
    (USER, 3, 2, 3, KEPT),
    (USER, 1, 999, 1, KEPT),
]


def _item(quantity: int = 1, variant_id: UUID | None = None) -> CartItem:
    return CartItem(uuid4(), variant_id or uuid4(), quantity, 1_000, "EUR", NOW, NOW)


def _merge(guest: Sequence[CartItem], own: Sequence[CartItem], strategy: MergeStrategy) -> tuple[MergeLine, ...]:
    return combine(guest, own, {item.variant_id for item in (*own, *guest)}, strategy)


@pytest.mark.parametrize(("strategy", "had", "brought", "after", "outcome"), TABLE)
def test_a_line_is_merged_by_the_strategy(
    strategy: MergeStrategy, had: int, brought: int, after: int, outcome: MergeOutcome
) -> None:
    guest = _item(brought)
    others = [_item() for _ in range(MAX_LINES - 1)]
    own = [_item(had, guest.variant_id), *others] if had else others
    expected = MergeLine(guest.variant_id, brought, had, after, outcome)
    assert _merge([guest], own, strategy) == (expected,)
    assert after <= MAX_LINE_QUANTITY


@pytest.mark.parametrize("strategy", MergeStrategy)
def test_a_full_cart_takes_no_further_variant_but_more_of_those_it_has(strategy: MergeStrategy) -> None:
    own = [_item() for _ in range(MAX_LINES - 1)]
    guest = [_item(2), _item(2), _item(3, own[0].variant_id), _item(2)]
    merged = _merge(guest, own, strategy)
    in_both = {SUM: (4, COMBINED), MAX: (3, COMBINED), GUEST: (3, COMBINED), USER: (1, KEPT)}[strategy]
    assert [(line.merged_quantity, line.outcome) for line in merged] == [
        (2, ADDED),
        (0, LIMITED),
        in_both,
        (0, LIMITED),
    ]


@pytest.mark.parametrize("strategy", MergeStrategy)
def test_what_cannot_be_bought_stays_behind_and_takes_no_place(strategy: MergeStrategy) -> None:
    own = [_item(4) for _ in range(MAX_LINES - 1)]
    gone, in_both, fine = _item(5), _item(6, own[0].variant_id), _item(7)
    buyable = {fine.variant_id}
    merged = combine([gone, in_both, fine], own, buyable, strategy)
    assert [(line.user_quantity, line.merged_quantity, line.outcome) for line in merged] == [
        (0, 0, DROPPED),
        (4, 4, DROPPED),
        (0, 7, ADDED),
    ]


def test_two_full_carts_of_different_things_stay_a_full_cart() -> None:
    own, guest = ([_item() for _ in range(MAX_LINES)] for _ in range(2))
    merged = _merge(guest, own, SUM)
    assert {line.outcome for line in merged} == {LIMITED}
    assert len(merged) == MAX_LINES


def test_an_empty_cart_has_no_lines_to_report() -> None:
    assert _merge([], [_item()], SUM) == ()
