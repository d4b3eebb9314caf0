"""What codes take off: whatever the cart and the codes, nothing is created or lost, and no line falls below nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marketd.kernel.values.money import Money, minor_digits
from marketd.promotion.discounts import apply, share_out
from marketd.promotion.model import MAX_CODES, Funding, PromoKind
from marketd.promotion.values import PromoLine, PromoScope, PromoTerms, Promotion

IDS = [UUID(int=n) for n in range(1, 5)]
WHOLE = 1_000_000
# Few examples, each of them large: a cart of some lines under some codes shows what a hundred pairs would.
EXAMPLES = settings(max_examples=20)

amounts = st.integers(0, 10**6) | st.sampled_from([0, 1, 2, 3, 10**13])
scopes = st.builds(
    PromoScope,
    *[st.lists(st.sampled_from(IDS), max_size=2, unique=True).map(tuple) for _ in range(3)],
)


@st.composite
def carts(draw: st.DrawFn) -> list[PromoLine]:
    return [
        PromoLine(
            UUID(int=100 + n),
            draw(st.sampled_from(IDS)),
            draw(st.sampled_from(IDS)),
            draw(st.none() | st.sampled_from(IDS)),
            amount,
        )
        for n, amount in enumerate(draw(st.lists(amounts, max_size=8)))
    ]


@st.composite
def some_terms(draw: st.DrawFn) -> list[PromoTerms]:
    return [
        PromoTerms(
            promo_code_id=UUID(int=200 + n),
            code=f"CODE-{n}",
            terms_version=n + 1,
            kind=kind,
            rate=draw(st.integers(1, WHOLE)) if kind is PromoKind.PERCENT else None,
            amount_minor=draw(amounts.filter(bool)) if kind is PromoKind.FIXED else None,
            max_discount_minor=None if kind is PromoKind.FIXED else draw(st.none() | amounts.filter(bool)),
            seller_id=draw(st.none() | st.sampled_from(IDS)),
            scope=draw(scopes),
        )
        for n, kind in enumerate(draw(st.lists(st.sampled_from(PromoKind), max_size=MAX_CODES)))
    ]


all_fees = st.none() | st.dictionaries(st.sampled_from(IDS), amounts)


def half_up(exact: Fraction) -> int:
    return int(exact + Fraction(1, 2))


@EXAMPLES
@given(st.lists(amounts, max_size=12), st.data())
def test_shares_add_up_and_are_within_a_unit_of_what_is_fair(weights: list[int], data: st.DataObject) -> None:
    whole = sum(weights)
    amount = data.draw(st.integers(0, whole))
    parts = share_out(amount, weights)
    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
    exact = [Fraction(amount * weight, whole) if whole else Fraction(0) for weight in weights]
    assert all(abs(part - fair) < 1 for part, fair in zip(parts, exact, strict=True))
    # Largest remainder: who was rounded up had no smaller a remainder than who was rounded down, or came earlier.
    ups = [n for n, (part, fair) in enumerate(zip(parts, exact, strict=True)) if part > fair]
    downs = [n for n, (part, fair) in enumerate(zip(parts, exact, strict=True)) if part < fair]
    assert all((exact[up] % 1, -up) > (exact[down] % 1, -down) for up in ups for down in downs)


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        (100, [1_000, 1_000, 1_000], [34, 33, 33]),
        (2, [10, 10, 10], [1, 1, 0]),
        (1, [1, 999_999], [0, 1]),
        (10, [3, 3, 4], [3, 3, 4]),
        (5, [0, 5, 0], [0, 5, 0]),
        (0, [0, 0], [0, 0]),
        (0, [], []),
    ],
)
def test_of_equal_remainders_the_earlier_line_gets_the_unit(amount: int, weights: list[int], parts: list[int]) -> None:
    assert share_out(amount, weights) == parts


def test_more_than_there_is_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="at most the sum"):
        share_out(11, [5, 5])


@pytest.mark.parametrize(
    ("codes", "amounts_minor", "taken"),
    [
        ([{"kind": PromoKind.PERCENT, "rate": 100_000}], [10_000, 2_000], [1_200]),
        ([{"kind": PromoKind.PERCENT, "rate": 500_000}], [3_333], [1_667]),
        ([{"kind": PromoKind.PERCENT, "rate": 500_000, "max_discount_minor": 1_000}], [10_000], [1_000]),
        ([{"kind": PromoKind.PERCENT, "rate": 100_000, "scope": PromoScope(product_ids=(IDS[1],))}], [70, 500], [50]),
        ([{"kind": PromoKind.FIXED, "amount_minor": 700}], [500], [500]),
        (
            [{"kind": PromoKind.FIXED, "amount_minor": 1_000}, {"kind": PromoKind.PERCENT, "rate": 100_000}],
            [10_000],
            [1_000, 1_000],
        ),
        ([{"kind": PromoKind.PERCENT, "rate": 500_000}] * 2, [10_000], [5_000, 2_500]),
        ([{"kind": PromoKind.FREE_DELIVERY}], [10_000], [490]),
        ([{"kind": PromoKind.FREE_DELIVERY, "max_discount_minor": 300}], [10_000], [300]),
    ],
)
def test_examples_that_can_be_reckoned_by_hand(
    codes: list[dict[str, Any]], amounts_minor: list[int], taken: list[int]
) -> None:
    lines = [
        PromoLine(UUID(int=100 + n), IDS[0], IDS[n], None, amount_minor) for n, amount_minor in enumerate(amounts_minor)
    ]
    terms = [PromoTerms(UUID(int=200 + n), f"CODE-{n}", 1, **code) for n, code in enumerate(codes)]
    assert [each.discount_minor + each.delivery_discount_minor for each in apply(terms, lines, {IDS[0]: 490})] == taken


@EXAMPLES
@given(carts(), some_terms(), all_fees)
def test_each_code_takes_what_it_says_of_what_is_left_and_no_line_or_fee_falls_below_nothing(
    lines: list[PromoLine], terms: list[PromoTerms], fees: dict[UUID, int] | None
) -> None:
    promotions = apply(terms, lines, fees)
    assert {each.promo_code_id for each in promotions} == {each.promo_code_id for each in terms}
    by_id = {each.promo_code_id: each for each in terms}
    left = {line.variant_id: line.amount_minor for line in lines}
    fees_left = dict(fees or {})
    for promotion in promotions:
        code = by_id[promotion.promo_code_id]
        in_scope = [line for line in lines if code.covers(line)]
        if code.kind is PromoKind.FREE_DELIVERY:
            assert not promotion.line_shares
            of_these, shares, keys = fees_left, promotion.delivery_shares, {line.seller_id for line in in_scope}
        else:
            assert not promotion.delivery_shares
            of_these, shares, keys = left, promotion.line_shares, {line.variant_id for line in in_scope}
        whole = sum(of_these.get(key, 0) for key in keys)
        wanted = {
            PromoKind.PERCENT: half_up(Fraction(whole * (code.rate or 0), WHOLE)),
            PromoKind.FIXED: min(whole, code.amount_minor or 0),
            PromoKind.FREE_DELIVERY: whole,
        }[code.kind]
        if code.max_discount_minor is not None:
            wanted = min(wanted, code.max_discount_minor)
        assert sum(shares.values()) == wanted
        assert set(shares) <= keys
        assert all(share > 0 for share in shares.values())
        for key, share in shares.items():
            of_these[key] -= share
            assert of_these[key] >= 0


@EXAMPLES
@given(carts(), some_terms(), all_fees)
def test_only_the_order_within_a_kind_matters(
    lines: list[PromoLine], terms: list[PromoTerms], fees: dict[UUID, int] | None
) -> None:
    kinds = list(PromoKind)
    expected = apply(terms, lines, fees)
    for order in permutations(kinds):
        shuffled = [each for kind in order for each in terms if each.kind is kind]
        assert apply(shuffled, lines, fees) == expected
    assert [kinds.index(each.kind) for each in expected] == sorted(kinds.index(each.kind) for each in expected)


@EXAMPLES
@given(carts(), st.lists(amounts.filter(bool), min_size=2, max_size=3), scopes)
def test_fixed_amounts_for_the_same_goods_come_to_the_same_in_every_order(
    lines: list[PromoLine], wanted: list[int], scope: PromoScope
) -> None:
    terms = [PromoTerms(uuid4(), "FIX", 1, PromoKind.FIXED, amount_minor=each, scope=scope) for each in wanted]
    sums = {sum(each.discount_minor for each in apply(order, lines, None)) for order in permutations(terms)}
    assert sums == {min(sum(wanted), sum(line.amount_minor for line in lines if scope.covers(line)))}


@EXAMPLES
@given(currency=st.sampled_from(["JPY", "EUR", "KWD"]), lines=carts(), rate=st.integers(1, WHOLE))
def test_a_percentage_is_exact_to_half_of_the_smallest_coin_of_any_currency(
    currency: str, lines: list[PromoLine], rate: int
) -> None:
    (promotion,) = apply([PromoTerms(uuid4(), "PART", 1, PromoKind.PERCENT, rate=rate)], lines, None)
    coin = Fraction(1, 10 ** minor_digits(currency))
    whole = Money(sum(line.amount_minor for line in lines), currency)
    exact = whole.amount_minor * coin * rate / WHOLE
    assert abs(promotion.discount_minor * coin - exact) <= coin / 2
    rest = whole - Money(promotion.discount_minor, currency)
    assert rest.amount_minor >= 0
    assert rest.amount_minor > 0 or promotion.discount_minor == whole.amount_minor


@EXAMPLES
@given(carts(), some_terms(), all_fees)
def test_a_promotion_survives_its_json(
    lines: list[PromoLine], terms: list[PromoTerms], fees: dict[UUID, int] | None
) -> None:
    for promotion in apply(terms, lines, fees):
        again = Promotion.from_json({**json.loads(json.dumps(promotion.to_json())), "of a newer version": 1})
        assert again == promotion
        assert (again.funded_by is Funding.SELLER) == (again.seller_id is not None)


def test_a_code_is_for_what_fits_each_of_its_lists() -> None:
    seller, category, product_id, other = IDS
    line = PromoLine(uuid4(), seller, product_id, category, 100)
    assert PromoScope().covers(line)
    assert PromoScope((seller,), (category,), (product_id,)).covers(line)
    assert PromoScope((other, seller)).covers(line)
    assert not PromoScope((other,), (category,)).covers(line)
    assert not PromoScope(category_ids=(category,)).covers(replace(line, category_id=None))
    of_seller = PromoTerms(uuid4(), "OWN", 1, PromoKind.FREE_DELIVERY, seller_id=seller)
    assert of_seller.covers(line)
    assert not of_seller.covers(replace(line, seller_id=other))
