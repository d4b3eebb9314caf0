"""Money adds up: from a cart's lines over discounts, fees and taxes to what is to be paid, whatever is cancelled then,
in whatever parts and order, in currencies with 0, 2 and 3 digits. All by the marketplace's own pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, Final
from uuid import UUID

import pytest
from google.type.money_pb2 import Money as MoneyMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from marketd.cart.convert import to_quote
from marketd.cart.quotes.values import Quote, QuoteLine, QuotePackage, QuoteResult
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.address import Address
from marketd.order.cancel import _ends_sending
from marketd.order.convert import to_order
from marketd.order.end import all_left, cancelled_fields
from marketd.order.model import CancellationActor, CancellationReason, OrderState
from marketd.order.place import _order
from marketd.order.receipts.convert import to_receipt
from marketd.order.receipts.render import RenderedReceipt
from marketd.order.receipts.values import receipt_of
from marketd.order.values import Order
from marketd.promotion import discounts
from marketd.promotion.model import PromoKind
from marketd.promotion.values import PromoLine, PromoScope, PromoTerms

NOW: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
BUYER: Final = Caller(UUID(int=7), UUID(int=8), frozenset({Role.BUYER}))
ADMIN: Final = Caller(UUID(int=5), UUID(int=6), frozenset({Role.ADMIN}))
HOME: Final = Address("Ada", "+49301", ("Kastanienallee 9",), "Berlin", "", "10435", "DE")
WHOLE: Final = 1_000_000
NO_WORDS: Final = RenderedReceipt("", "")

PRICES: Final = st.one_of(st.sampled_from((0, 1, 2, 3, 99, 333, 1_000, 10**7)), st.integers(0, 10**6))
PIECES: Final = st.one_of(st.sampled_from((1, 2, 3, 7, 998, 999)), st.integers(1, 999))
TAXES: Final = st.sampled_from((0, 1, 55_000, 70_000, 190_000, WHOLE))
RATES: Final = st.one_of(
    st.sampled_from((1, 100_000, 166_700, 333_333, 500_000, 999_999, WHOLE)), st.integers(1, WHOLE)
)
AMOUNTS: Final = st.one_of(st.sampled_from((1, 2, 99, 10**12)), st.integers(1, 10**7))
LINES: Final = st.lists(st.tuples(PRICES, PIECES, TAXES, st.booleans()), min_size=1, max_size=4)
SHOPS: Final = st.lists(st.tuples(LINES, st.sampled_from((0, 1, 490, 499, 10**5)), TAXES), min_size=1, max_size=3)
CURRENCIES: Final = st.sampled_from(("JPY", "EUR", "KWD"))


def seller(number: int) -> UUID:
    return UUID(int=1_000 + number)


@st.composite
def codes(draw: st.DrawFn, lines: Sequence[PromoLine]) -> list[PromoTerms]:
    """Up to five codes for these lines."""
    found = []
    for number in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(PromoKind))
        products = draw(st.sets(st.sampled_from([line.product_id for line in lines]))) if draw(st.booleans()) else ()
        found.append(
            PromoTerms(
                promo_code_id=UUID(int=100 + number),
                code=f"CODE-{number}",
                terms_version=1,
                kind=kind,
                rate=draw(RATES) if kind is PromoKind.PERCENT else None,
                amount_minor=draw(AMOUNTS) if kind is PromoKind.FIXED else None,
                max_discount_minor=None if kind is PromoKind.FIXED else draw(st.one_of(st.none(), AMOUNTS)),
                seller_id=draw(st.sampled_from([None, *{line.seller_id for line in lines}])),
                scope=PromoScope(product_ids=tuple(sorted(products))),
            )
        )
    return found


@dataclass(frozen=True)
class Case:
    """A quote with the codes that it was made with, and the seed of what is cancelled."""

    quote: Quote
    lines: tuple[PromoLine, ...]
    terms: tuple[PromoTerms, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Quotes with hard lines and codes."""
    packages = []
    lines = []
    number = 0
    for shop, (own, fee, fee_rate) in enumerate(draw(SHOPS)):
        quoted = []
        for price, pieces, rate, is_sent in own:
            number += 1
            quoted.append(line(number, price, pieces, rate, is_sent))
            lines.append(PromoLine(UUID(int=number), seller(shop), UUID(int=500 + number), None, price * pieces))
        packages.append(package(shop, tuple(quoted), fee, fee_rate))
    bare = Quote(UUID(int=1), draw(CURRENCIES), HOME, tuple(packages))
    terms = draw(codes(lines))
    return Case(bare.discounted(discounts.apply(terms, lines, bare.fees)), tuple(lines), tuple(terms))


def line(number: int, price: int, pieces: int, rate: int, is_sent: bool) -> QuoteLine:
    variant_id, product_id = UUID(int=number), UUID(int=500 + number)
    return QuoteLine(variant_id, variant_id, product_id, "Lamp", "", {}, "", None, pieces, price, rate, is_sent)


def package(shop: int, lines: tuple[QuoteLine, ...], fee: int, fee_rate: int) -> QuotePackage:
    is_sent = any(each.requires_shipping for each in lines)
    when = NOW if is_sent else None
    return QuotePackage(
        seller_id=seller(shop),
        owner_user_id=UUID(int=3),
        shop_name="Radhaus",
        pickup=None,
        prep_duration=timedelta(minutes=10),
        open_time=None,
        delivery_fee_minor=fee if is_sent else 0,
        delivery_tax_rate=fee_rate,
        earliest_time=when,
        latest_time=when,
        distance_meters=None,
        lines=lines,
    )


def assert_quote_adds_up(case: Case) -> None:
    quote = case.quote
    for each in quote.packages:
        assert each.total_minor == sum(one.line_total_minor - one.discount_amount_minor for one in each.lines) + (
            each.delivery_fee_minor - each.delivery_discount_amount_minor
        )
        assert 0 <= each.delivery_discount_amount_minor <= each.delivery_fee_minor
        for one in each.lines:
            assert 0 <= one.discount_amount_minor <= one.line_total_minor
            assert_taxed(one.line_total_minor - one.discount_amount_minor, one.tax_rate, one.tax_amount_minor)
        assert_taxed(each.delivery_cost_minor, each.delivery_tax_rate, each.delivery_tax_amount_minor)
    assert quote.total_minor == sum(each.total_minor for each in quote.packages)
    off = sum(each.discount_minor + each.delivery_discount_minor for each in quote.promotions)
    before = sum(each.subtotal_minor + each.delivery_fee_minor for each in quote.packages)
    assert quote.total_minor == before - off
    assert Quote.from_json_text(quote.quote_id, quote.to_json_text()) == quote


def assert_taxed(gross: int, rate: int, tax: int) -> None:
    assert abs(Fraction(gross * rate, WHOLE + rate) - tax) <= Fraction(1, 2)
    assert 0 <= tax <= gross


def assert_codes_take_what_they_say(case: Case) -> None:
    """Each in its turn takes exactly its part of what is left, once rounded, and nobody's share is a unit off."""
    left = {each.variant_id: each.amount_minor for each in case.lines}
    fees = dict(case.quote.fees)
    terms = {each.promo_code_id: each for each in case.terms}
    for promotion in discounts.apply(case.terms, case.lines, case.quote.fees):
        code = terms[promotion.promo_code_id]
        meant = [each for each in case.lines if code.covers(each)]
        if code.kind is PromoKind.FREE_DELIVERY:
            of: dict[UUID, int] = {each.seller_id: fees[each.seller_id] for each in meant if each.seller_id in fees}
            shares = promotion.delivery_shares
        else:
            of, shares = {each.variant_id: left[each.variant_id] for each in meant}, promotion.line_shares
        whole, taken = sum(of.values()), sum(shares.values())
        wanted = {
            PromoKind.PERCENT: floor(Fraction(whole * (code.rate or 0), WHOLE) + Fraction(1, 2)),
            PromoKind.FIXED: code.amount_minor or 0,
            PromoKind.FREE_DELIVERY: whole,
        }[code.kind]
        assert taken == min(wanted, whole, code.max_discount_minor or whole)
        assert shares.keys() <= of.keys()
        for key, before in of.items():
            share = shares.get(key, 0)
            assert 0 <= share <= before
            assert abs(share - Fraction(taken * before, whole or 1)) < 1
            (fees if code.kind is PromoKind.FREE_DELIVERY else left)[key] -= share


def orders_of(quote: Quote) -> list[Order]:
    """What PlaceOrder freezes of it, paid."""
    uow: Any = UnitOfWork(None, NOW)  # type: ignore[arg-type] # nothing is read or written
    ids = {"group_id": UUID(int=10), "payment_id": UUID(int=11)}
    made = [_order(uow, BUYER, quote, each, expire_time=NOW, **ids) for each in quote.packages]
    return [replace(order, state=OrderState.PAID, pay_time=NOW) for order in made]


def cancelled(order: Order, pieces: Mapping[UUID, int]) -> Order:
    """The order without these pieces, as CancelOrder takes them off."""
    uow: Any = UnitOfWork(None, NOW)  # type: ignore[arg-type] # nothing is read or written
    left = order.due_minor - order.refund_reserved_minor
    worth = sum(item.worth_minor(pieces.get(item.item_id, 0)) for item in order.items)
    if _ends_sending(order, pieces):
        worth += order.delivery_cost_minor
    assert worth <= left
    is_end = pieces == all_left(order) or 0 < left == worth
    fields = cancelled_fields(
        uow,
        order,
        all_left(order) if is_end else pieces,
        left if is_end else worth,
        reason=CancellationReason.OTHER,
        note="",
        actor=CancellationActor.BUYER,
    )
    return replace(order, state=OrderState.CANCELLED if is_end else order.state, **fields)


def assert_order_adds_up(order: Order) -> None:
    """What is left, what was cancelled and what every code still takes off are the whole, in values and on the wire."""
    receipt = receipt_of(order)
    assert receipt.total_minor == sum(each.total_minor for each in receipt.lines) + (
        receipt.delivery_fee_minor - receipt.delivery_discount_amount_minor
    )
    assert receipt.total_minor == order.due_minor - order.refund_reserved_minor
    assert receipt.total_minor + order.cancelled_amount_minor == order.total_minor
    assert receipt.total_minor == sum(each.gross_amount_minor for each in receipt.taxes)
    assert all(0 <= each.tax_amount_minor <= each.gross_amount_minor for each in receipt.taxes)
    standing = order.standing_discounts
    assert sum(each.discount_amount_minor for each in standing) == receipt.discount_amount_minor
    assert sum(each.delivery_discount_amount_minor for each in standing) == receipt.delivery_discount_amount_minor
    assert all(each.discount_amount_minor >= 0 for each in standing)
    shown = to_order(order, ADMIN)
    assert amount(shown.total) == (
        total(item.line_total for item in shown.items)
        - total(item.discount_amount for item in shown.items)
        + amount(shown.delivery_fee)
        - amount(shown.delivery_discount_amount)
    )
    assert amount(shown.total) == amount(shown.cancelled_amount) + amount(to_receipt(receipt, NO_WORDS).total)


def amount(message: MoneyMessage) -> Decimal:
    return Decimal(message.units) + Decimal(message.nanos).scaleb(-9)


def total(messages: Iterable[MoneyMessage]) -> Decimal:
    return sum(map(amount, messages), Decimal(0))


@st.composite
def parts(draw: st.DrawFn, order: Order) -> dict[UUID, int]:
    """Some pieces of some lines."""
    left = all_left(order)
    chosen = draw(st.sets(st.sampled_from(sorted(left)), min_size=1))
    return {item_id: draw(st.integers(1, left[item_id])) for item_id in sorted(chosen)}


def check_whole(case: Case, data: st.DataObject) -> None:
    assert_quote_adds_up(case)
    assert_codes_take_what_they_say(case)
    for order in orders_of(case.quote):
        assert_order_adds_up(order)
        after = order
        for _ in range(4):
            if not all_left(after):
                break
            after = cancelled(after, data.draw(parts(after)))
            assert_order_adds_up(after)
        # The same pieces in the other order, one line after the other, come to the same.
        gone = {item.item_id: item.cancelled_quantity for item in after.items if item.cancelled_quantity}
        other = order
        for item_id, count in reversed(gone.items()):
            if all_left(other):
                other = cancelled(other, {item_id: count})
        assert (other.due_minor, other.refund_reserved_minor) == (after.due_minor, after.refund_reserved_minor)
        if left := all_left(after):
            after = cancelled(after, left)
        assert after.refund_reserved_minor == after.due_minor == after.cancelled_amount_minor == order.total_minor
    shown = to_quote(QuoteResult(case.quote, (), NOW), "token")
    assert amount(shown.total) == total(each.total for each in shown.packages)


@settings(max_examples=60)
@given(cases(), st.data())
def test_whatever_is_cancelled_all_money_is_accounted_for(case: Case, data: st.DataObject) -> None:
    check_whole(case, data)


@pytest.mark.faults
@pytest.mark.parametrize("part", range(4))
@settings(max_examples=1_000)
@given(cases(), st.data())
def test_whatever_is_cancelled_all_money_is_accounted_for_4000_times(
    part: int, case: Case, data: st.DataObject
) -> None:
    """In parts, so that all cores have some and none takes too long."""
    check_whole(case, data)
