"""The rules of orders, quotes and carts that need no database: the state machine, shares of money, merges, tokens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketd.cart.errors import QuoteTokenInvalid
from marketd.cart.quotes.tokens import QuoteTokens
from marketd.cart.quotes.values import Quote, QuoteKey, QuoteLine, QuotePackage
from marketd.cart.values import CartItem, ProblemKind, has_blocking, price_item
from marketd.catalog.values import Offer
from marketd.inventory.model import StockPolicy
from marketd.inventory.values import Availability
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import IllegalTransition
from marketd.kernel.values.address import Address
from marketd.kernel.values.money import Money
from marketd.order.access import Viewer, allowed_actions, viewer_of
from marketd.order.cancellations import Cancellation
from marketd.order.convert import from_cancel, to_order
from marketd.order.model import (
    CANCELLABLE,
    TRANSITIONS,
    UNSENT_TRANSITIONS,
    CancellationActor,
    CancellationReason,
    OrderAction,
    OrderState,
)
from marketd.order.values import Order, OrderItem
from marketd.payment.model import PaymentState, RefundState
from marketplace.cart.v1 import cart_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
S = OrderState


def _item(**changes: Any) -> OrderItem:
    item = OrderItem(uuid4(), uuid4(), uuid4(), "Lamp", "", {"Size": "M"}, "", None, 3, 0, 1_000, 0, 190_000, 479, True)
    return replace(item, **changes)


def _order(**changes: Any) -> Order:
    order = Order(
        order_id=uuid4(),
        order_number="K7QW-2M9T",
        order_group_id=uuid4(),
        buyer_id=uuid4(),
        seller_id=uuid4(),
        owner_user_id=uuid4(),
        shop_name="Shop",
        pickup=None,
        address=Address("Ada", "", ("Street 1",), "Berlin", "", "", ""),
        currency="EUR",
        subtotal_minor=3_000,
        discount_amount_minor=0,
        delivery_fee_minor=490,
        total_minor=3_490,
        delivery_tax_rate=190_000,
        delivery_tax_amount_minor=78,
        usual_prep_duration=timedelta(minutes=10),
        shop_open_time=None,
        eta_earliest_time=NOW,
        eta_latest_time=NOW,
        create_time=NOW,
        payment_id=uuid4(),
        payment_expire_time=NOW,
        items=(_item(),),
        state=S.PENDING_PAYMENT,
        version=1,
        due_minor=3_490,
        update_time=NOW,
    )
    return replace(order, **changes)


def test_the_table_of_steps_is_the_contracts() -> None:
    way = [S.PENDING_PAYMENT, S.PAID, S.ACCEPTED, S.READY, S.OUT_FOR_DELIVERY, S.DELIVERED]
    legal = set(pairwise(way))
    legal |= {(state, S.CANCELLED) for state in way[:5]}
    legal |= {(S.PENDING_PAYMENT, S.EXPIRED), (S.PAID, S.REJECTED), (S.DELIVERED, S.REFUNDED)}
    assert {(current, S(after)) for current in S for after in TRANSITIONS.allowed(current)} == legal
    unsent = legal - {(S.ACCEPTED, S.READY), (S.READY, S.OUT_FOR_DELIVERY)}
    unsent |= {(S.ACCEPTED, S.DELIVERED), (S.READY, S.DELIVERED)}
    assert {(current, S(after)) for current in S for after in UNSENT_TRANSITIONS.allowed(current)} == unsent


@pytest.mark.parametrize("current", list(S))
@pytest.mark.parametrize("wanted", list(S))
def test_every_other_step_is_refused_with_what_is_allowed(current: OrderState, wanted: OrderState) -> None:
    if wanted in TRANSITIONS.allowed(current):
        TRANSITIONS.check(current, wanted)
        return
    with pytest.raises(IllegalTransition) as refusal:
        TRANSITIONS.check(current, wanted)
    assert refusal.value.metadata == {"current": current.value, "allowed": ",".join(TRANSITIONS.allowed(current))}


def test_persons_cancel_while_the_goods_are_in_the_shop_and_whoever_brings_it_may_give_it_up() -> None:
    assert {S.PENDING_PAYMENT, S.PAID, S.ACCEPTED, S.READY} == CANCELLABLE
    assert TRANSITIONS.sources(S.CANCELLED) == CANCELLABLE | {S.OUT_FOR_DELIVERY}
    assert all(not TRANSITIONS.allowed(state) for state in S if state.is_over and state is not S.DELIVERED)


@pytest.mark.parametrize(
    ("ours", "contract", "prefix"),
    [
        (OrderState, order_pb2.OrderState, "ORDER_STATE_"),
        (OrderAction, order_pb2.OrderAction, "ORDER_ACTION_"),
        (CancellationReason, order_pb2.CancellationReason, "CANCELLATION_REASON_"),
        (CancellationActor, order_pb2.CancellationActor, "CANCELLATION_ACTOR_"),
        (PaymentState, payment_pb2.PaymentState, "PAYMENT_STATE_"),
        (RefundState, payment_pb2.RefundState, "REFUND_STATE_"),
    ],
)
def test_enums_are_the_contracts(ours: type[OrderState], contract: Any, prefix: str) -> None:
    names = {name.removeprefix(prefix) for name in contract.keys()}  # noqa: SIM118 - protobuf's
    assert names - {"UNSPECIFIED"} == {value.value for value in ours} - {"UNSPECIFIED"}


def test_that_no_reason_was_given_is_kept_and_shown() -> None:
    cancellation = Cancellation((), CancellationReason.UNSPECIFIED, "", CancellationActor.BUYER, 5, NOW)
    cancelled = _order(cancellations=(cancellation,))
    message = to_order(cancelled, Caller(cancelled.buyer_id, None, frozenset({Role.BUYER})))
    assert message.cancellations[0].reason == order_pb2.CANCELLATION_REASON_UNSPECIFIED
    assert not message.cancellations[0].HasField("note")
    request = order_service_pb2.CancelOrderRequest(order_id=str(cancelled.order_id))
    assert from_cancel(request).reason is CancellationReason.UNSPECIFIED


def test_what_an_event_of_an_older_version_does_not_tell_is_what_it_was_before_there_was_any() -> None:
    order = _order(refund_reserved_minor=5)
    told = {name: value for name, value in order.progress().items() if name != "refund_reserved_minor"}
    assert order.with_progress(told) == replace(order, refund_reserved_minor=0)


def test_problem_kinds_are_the_contracts() -> None:
    known = {name.removeprefix("PROBLEM_KIND_") for name in cart_pb2.ProblemKind.keys()}  # noqa: SIM118 - protobuf's
    assert {kind.value for kind in ProblemKind} <= known


def test_actions_follow_state_and_caller() -> None:
    buyer = Viewer(is_buyer=True, is_seller=False, is_courier=False, is_admin=False, is_service=False)
    seller = Viewer(is_buyer=False, is_seller=True, is_courier=False, is_admin=False, is_service=False)
    courier = Viewer(is_buyer=False, is_seller=False, is_courier=True, is_admin=False, is_service=False)
    assert allowed_actions(_order(), buyer) == (OrderAction.PAY, OrderAction.CANCEL)
    assert allowed_actions(_order(), seller) == (OrderAction.CANCEL,)
    accepted = _order(state=S.ACCEPTED, pay_time=NOW)
    assert allowed_actions(accepted, seller) == (OrderAction.MARK_READY, OrderAction.CANCEL, OrderAction.REFUND)
    on_its_way = _order(state=S.OUT_FOR_DELIVERY, pay_time=NOW, refund_reserved_minor=3_490)
    assert allowed_actions(on_its_way, seller) == ()
    assert allowed_actions(accepted, courier) == ()


def test_a_courier_sees_an_order_only_while_it_is_in_its_hands() -> None:
    courier = Caller(uuid4(), None, frozenset({Role.COURIER}))
    for state in S:
        order = _order(state=state, courier_user_id=courier.user_id)
        assert viewer_of(courier, order).may_see == (state in (S.READY, S.OUT_FOR_DELIVERY))


@given(quantity=st.integers(1, 999), price=st.integers(0, 10**7), data=st.data())
def test_pieces_cancelled_one_after_the_other_are_worth_the_whole_line(
    quantity: int, price: int, data: st.DataObject
) -> None:
    discount = data.draw(st.integers(0, price * quantity))
    item, worth = _item(quantity=quantity, unit_price_minor=price, discount_amount_minor=discount), 0
    while item.left:
        pieces = data.draw(st.integers(1, item.left))
        worth += item.worth_minor(pieces)
        item = replace(item, cancelled_quantity=item.cancelled_quantity + pieces)
    assert worth == price * quantity - discount


def test_progress_is_the_changeable_part_of_an_order() -> None:
    placed = _order()
    later = replace(
        placed,
        state=S.CANCELLED,
        version=4,
        items=(replace(placed.items[0], cancelled_quantity=3),),
        due_minor=0,
        courier_id=uuid4(),
        prep_duration=timedelta(seconds=90.5),
        pay_time=NOW + timedelta(seconds=1),
        cancel_time=NOW + timedelta(seconds=2),
        cancellations=(
            Cancellation((), CancellationReason.OTHER, "a note", CancellationActor.ADMIN, 5, NOW),
            Cancellation((), CancellationReason.OTHER, "", CancellationActor.SELLER, 7, NOW),
        ),
    )
    assert later.with_progress(placed.progress()) == placed
    known = replace(placed, cancellations=later.cancellations)
    assert known.with_progress(later.progress()) == later
    assert known.with_progress({**later.progress(), "cancellations": 1}).cancelled_amount_minor == 5
    assert "a note" not in str(later.progress())


def _in_cart(quantity: int = 1, price_minor: int = 1_000) -> CartItem:
    return CartItem(
        uuid4(), uuid4(), quantity, price_minor, "EUR", NOW, NOW, Availability(StockPolicy.TRACKED, quantity)
    )


def _offer(item: CartItem, price_minor: int = 1_000, *, is_offered: bool = True) -> Offer:
    return Offer(
        item.variant_id, uuid4(), uuid4(), None, "Lamp", "", (), "EUR", price_minor, None, True, is_offered, True, None
    )


def test_items_are_judged_by_offer_and_stock() -> None:
    item = _in_cart(5)
    fine = price_item(item, _offer(item))
    assert fine.problems == ()
    short = price_item(replace(item, availability=Availability(StockPolicy.TRACKED, 4)), _offer(item, 900))
    assert [problem.kind for problem in short.problems] == [ProblemKind.INSUFFICIENT_STOCK, ProblemKind.PRICE_CHANGED]
    assert short.line_total == Money(4_500, "EUR")
    for offer in (None, _offer(item, is_offered=False)):
        gone = price_item(item, offer)
        assert [problem.kind for problem in gone.problems] == [ProblemKind.VARIANT_UNAVAILABLE]
        assert has_blocking(gone.problems)
    assert not has_blocking(price_item(item, _offer(item, 1)).problems)


def test_quotes_survive_their_json() -> None:
    line = QuoteLine(uuid4(), uuid4(), uuid4(), "Lämp", "", {"Größe": "M"}, "", uuid4(), 2, 999, 190_000, True)
    package = QuotePackage(
        uuid4(), uuid4(), "Shop", None, timedelta(minutes=10), NOW, 490, 70_000, NOW, NOW, 12.5, (line,)
    )
    quote = Quote(uuid4(), "EUR", Address("Ada", "", ("Street 1",), "Berlin", "", "", ""), (package,))
    assert Quote.from_json_text(quote.quote_id, quote.to_json_text()) == quote
    assert quote.total_minor == 2 * 999 + 490
    assert quote.tax_amount_minor == 319 + 32, "19 % of 19.98 and 7 % of 4.90, each rounded"


def test_only_own_quote_tokens_are_read() -> None:
    tokens, quote_id = QuoteTokens(b"secret"), uuid4()
    token = tokens.issue(quote_id, NOW)
    assert tokens.read(token) == QuoteKey(quote_id, NOW.replace(microsecond=0))
    for forged in (QuoteTokens(b"another").issue(quote_id, NOW), token[:-1], token + "A", "", "ü", "====", "a b"):
        with pytest.raises(QuoteTokenInvalid):
            tokens.read(forged)
