"""Moves that come again after a lost answer, with and without a request id, and etags that do not fit any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition, NotFound, RequestIdReused, ValidationFailed
from marketd.payment.errors import PaymentOver
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2

from tests.worlds.goods import Shop
from tests.worlds.ordering import Market, minor, parsed, stored


async def _paid(market: Market, quantity: int = 1) -> tuple[Caller, Shop, order_pb2.Order]:
    buyer, shop = await market.buyer(), await market.shop()
    group = await market.paid(buyer, (await market.variant(shop), quantity))
    return buyer, shop, await market.get(buyer, group.orders[0].order_id)


async def _set(market: Market, buyer: Caller, item_id: str, quantity: int, cart_etag: str = "") -> cart_pb2.Cart:
    request = cart_service_pb2.UpdateCartItemRequest(
        item=cart_pb2.CartItem(item_id=item_id, quantity=quantity, title="a lie", unit_price=None), cart_etag=cart_etag
    )
    return (await market.call(buyer, market.carts.UpdateCartItem, request)).cart


# -- carts


async def test_a_quantity_that_is_there_already_keeps_the_carts_etag_and_a_stale_one_is_refused_all_the_same(
    market: Market,
) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    cart = await market.add(buyer, variant, 5)
    item_id = cart.items[0].item_id
    assert await _set(market, buyer, item_id, 5, cart.etag) == cart
    changed = await _set(market, buyer, item_id, 4)
    assert changed.etag != cart.etag
    assert changed.items[0].title == "Lamp"
    with pytest.raises(EtagMismatch) as refusal:
        await _set(market, buyer, item_id, 4, cart.etag)
    assert refusal.value.metadata == {"etag": changed.etag}


async def test_the_same_quantity_at_a_new_price_takes_note_of_the_price(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    cart = await market.add(buyer, variant, 5)
    await market.set_price(variant, 1_200)
    assert (await market.cart(buyer)).items[0].problems
    seen = await _set(market, buyer, cart.items[0].item_id, 5, cart.etag)
    assert not seen.items[0].problems
    assert seen.etag != cart.etag


async def test_what_is_removed_is_missed_unless_it_may_be_and_then_nothing_changes(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    item_id = (await market.add(buyer, variant)).items[0].item_id
    other = await market.add(buyer, await market.variant(await market.shop()))
    request = cart_service_pb2.RemoveCartItemRequest(item_id=item_id)
    left = (await market.call(buyer, market.carts.RemoveCartItem, request)).cart
    assert len(left.items) == 1
    assert left.etag != other.etag
    with pytest.raises(NotFound):
        await market.call(buyer, market.carts.RemoveCartItem, request)
    request.allow_missing = True
    assert (await market.call(buyer, market.carts.RemoveCartItem, request)).cart == left
    fresh = await market.buyer()
    assert not (await market.call(fresh, market.carts.RemoveCartItem, request)).cart.items


async def test_clearing_an_empty_cart_keeps_its_etag(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    filled = await market.add(buyer, variant)
    request = cart_service_pb2.ClearCartRequest()
    empty = (await market.call(buyer, market.carts.ClearCart, request)).cart
    assert empty.etag != filled.etag
    assert (await market.call(buyer, market.carts.ClearCart, request)).cart == empty


# -- the same request id


async def _cart_calls(market: Market) -> list[tuple[Caller, Callable[..., Awaitable[Any]], Any, str]]:
    """For each write of a cart that takes a request id: caller, method, request, and what makes it another request."""
    buyer, shop = await market.buyer(), await market.shop()
    first, second = await market.variants(shop, 2)
    for variant in (first, second):
        await market.add(buyer, variant)
    items = (await market.cart(buyer)).items
    carts, pb = market.carts, cart_service_pb2
    update = pb.UpdateCartItemRequest(item=cart_pb2.CartItem(item_id=items[0].item_id, quantity=3))
    return [
        (buyer, carts.UpdateCartItem, update, "cart_etag"),
        (buyer, carts.RemoveCartItem, pb.RemoveCartItemRequest(item_id=items[1].item_id), ""),
        (buyer, carts.ClearCart, pb.ClearCartRequest(), ""),
    ]


async def test_a_write_of_the_cart_with_one_request_id_is_done_once_also_three_times_at_once_on_two_workers(
    market: Market, other: Market
) -> None:
    for buyer, method, request, further in await _cart_calls(market):
        request.request_id = str(uuid4())
        workers = (method, getattr(other.carts, method.__name__), method)
        answers = await asyncio.gather(*(market.call(buyer, each, request) for each in workers))
        assert len({stored(answer) for answer in answers}) == 1, method.__name__
        etag = (await market.cart(buyer)).etag
        assert stored(await market.call(buyer, method, request)) == stored(answers[0])
        assert (await market.cart(buyer)).etag == etag
        if further:
            setattr(request, further, "v1")
            with pytest.raises(RequestIdReused):
                await market.call(buyer, method, request)


async def test_accepting_and_having_ready_with_one_request_id_are_done_once(market: Market, other: Market) -> None:
    _, shop, order = await _paid(market)
    accept = order_service_pb2.AcceptOrderRequest(order_id=order.order_id, request_id=str(uuid4()))
    ready = order_service_pb2.MarkOrderReadyRequest(order_id=order.order_id, request_id=str(uuid4()))
    for name, request in (("AcceptOrder", accept), ("MarkOrderReady", ready)):
        workers = [getattr(each.orders, name) for each in (market, other, market)]
        answers = await asyncio.gather(*(market.call(shop.caller, each, request) for each in workers))
        assert len({stored(answer) for answer in answers}) == 1
    # The answer is the first one, although the order has gone on.
    again = await market.call(shop.caller, market.orders.AcceptOrder, accept)
    answer = parsed(cast(Any, again), order_service_pb2.AcceptOrderResponse)
    assert answer.order.state == order_pb2.ORDER_STATE_ACCEPTED
    accept.prep_duration.seconds = 60
    with pytest.raises(RequestIdReused):
        await market.call(shop.caller, market.orders.AcceptOrder, accept)


# -- moves without a request id


async def test_an_order_accepted_again_is_answered_as_it_is_also_to_the_etag_of_before(market: Market) -> None:
    _, shop, order = await _paid(market)
    request = order_service_pb2.AcceptOrderRequest(
        order_id=order.order_id, prep_duration=Duration(seconds=90, nanos=500_000_000), etag=order.etag
    )
    accepted = (await market.call(shop.caller, market.orders.AcceptOrder, request)).order
    assert accepted.prep_duration == request.prep_duration
    assert (await market.call(shop.caller, market.orders.AcceptOrder, request)).order == accepted
    request.prep_duration.seconds = 60
    with pytest.raises(EtagMismatch) as stale:
        await market.call(shop.caller, market.orders.AcceptOrder, request)
    assert stale.value.metadata == {"etag": accepted.etag}
    request.etag = ""
    with pytest.raises(IllegalTransition):
        await market.call(shop.caller, market.orders.AcceptOrder, request)
    # Without a time it is the seller's usual one, which is not what this order was accepted with.
    with pytest.raises(IllegalTransition):
        await market.accept(shop, order.order_id)


async def test_an_order_that_is_ready_is_ready_and_not_accepted_again(market: Market) -> None:
    _, shop, order = await _paid(market)
    accepted = await market.accept(shop, order.order_id)
    request = order_service_pb2.MarkOrderReadyRequest(order_id=order.order_id, etag=order.etag)
    with pytest.raises(EtagMismatch):
        await market.call(shop.caller, market.orders.MarkOrderReady, request)
    request.etag = accepted.etag
    answers = [(await market.call(shop.caller, market.orders.MarkOrderReady, request)).order for _ in range(2)]
    assert answers[0] == answers[1]
    with pytest.raises(IllegalTransition):
        await market.accept(shop, order.order_id)
    with pytest.raises(NotFound):
        await market.ready(await market.shop(), order.order_id)


async def test_an_order_cancelled_again_by_the_same_for_the_same_reason_is_answered_as_it_is(market: Market) -> None:
    buyer, shop, order = await _paid(market, 2)
    with pytest.raises(EtagMismatch):
        await market.cancel(buyer, order.order_id, etag="v1")
    cancelled = await market.cancel(buyer, order.order_id, etag=order.etag)
    assert await market.cancel(buyer, order.order_id, etag=order.etag) == cancelled
    with pytest.raises(IllegalTransition):
        await market.cancel(shop.caller, order.order_id)
    other_reason = order_service_pb2.CancelOrderRequest(
        request_id=str(uuid4()), order_id=order.order_id, reason=order_pb2.CANCELLATION_REASON_TOO_SLOW
    )
    with pytest.raises(IllegalTransition):
        await market.call(buyer, market.orders.CancelOrder, other_reason)
    await market.run_jobs()
    assert await market.value("SELECT count(*) FROM refunds") == 1
    assert await market.violations() == []


async def test_all_that_is_left_of_a_line_is_cancelled_once_and_pieces_as_often_as_asked(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp, chair = await market.variant(shop), await market.variant(shop)
    group = await market.paid(buyer, (lamp, 3), (chair, 1))
    order = group.orders[0]
    item = next(one.item_id for one in order.items if one.variant_id == str(lamp))
    for left in (2, 1):
        after = await market.cancel(buyer, order.order_id, (item, 1))
        assert 3 - next(one.cancelled_quantity for one in after.items if one.item_id == item) == left
    gone = await market.cancel(buyer, order.order_id, (item, None))
    assert await market.cancel(buyer, order.order_id, (item, None)) == gone
    with pytest.raises(ValidationFailed):
        await market.cancel(buyer, order.order_id, (item, 1))
    chair_item = next(one.item_id for one in order.items if one.item_id != item)
    with pytest.raises(ValidationFailed) as twice:
        await market.cancel(buyer, order.order_id, (chair_item, 1), (chair_item.upper(), 1))
    assert twice.value.fields[0].field == "lines[1].item_id"
    assert gone.state == order_pb2.ORDER_STATE_PAID
    assert await market.violations() == []


async def test_a_paid_payment_confirmed_again_with_its_method_is_answered_as_it_is(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    payment_id = group.payment.payment_id
    captured = await market.confirm(buyer, payment_id)
    assert await market.confirm(buyer, payment_id) == captured
    with pytest.raises(PaymentOver):
        await market.confirm(buyer, payment_id, "decline")
    assert await market.value("SELECT count(*) FROM sandbox_charges") == 1
    assert await market.value("SELECT count(*) FROM payment_attempts") == 1
    await market.refund(market.admin, payment_id)
    with pytest.raises(PaymentOver):
        await market.confirm(buyer, payment_id)
    with pytest.raises(NotFound):
        await market.confirm(await market.buyer(), payment_id)


# -- payments


async def test_the_etag_of_a_payment_changes_with_it_and_with_its_refunds(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 2))
    payment_id, order_id = group.payment.payment_id, group.orders[0].order_id
    etags = [(await market.get_payment(buyer, payment_id)).etag]
    assert etags == [group.payment.etag]
    etags.append((await market.confirm(buyer, payment_id)).etag)
    etags.append((await market.refund(market.admin, payment_id, order_id=order_id, minor=100)).payment.etag)
    assert etags[-1] == (await market.get_payment(buyer, payment_id)).etag
    assert len(set(etags)) == 3
    for minor_units in (100, 999_999):
        with pytest.raises(EtagMismatch) as stale:
            await market.refund(market.admin, payment_id, order_id=order_id, minor=minor_units, etag=etags[1])
        assert stale.value.metadata == {"etag": etags[-1]}
    refunded = await market.refund(market.admin, payment_id, order_id=order_id, minor=200, etag=etags[-1])
    assert minor(refunded.payment.refunded_amount) == 300
    assert await market.violations() == []


async def test_a_refund_of_an_order_needs_an_amount_above_nothing_and_a_group_goes_back_whole(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    group = await market.paid(buyer, (await market.variant(one), 1), (await market.variant(two), 2))
    payment_id = group.payment.payment_id
    for wrong in (0, -100):
        with pytest.raises(ValidationFailed) as refusal:
            await market.refund(market.admin, payment_id, order_id=group.orders[0].order_id, minor=wrong)
        assert refusal.value.fields[0].field == "order.amount"
    part = await market.refund(market.admin, payment_id, order_id=group.orders[0].order_id, minor=90)
    assert part.refund.order_id == group.orders[0].order_id
    rest = await market.refund(market.admin, payment_id)
    assert not rest.refund.HasField("order_id")
    assert minor(rest.refund.amount) == minor(group.total) - 90
    assert await market.violations() == []


async def test_a_method_of_another_provider_is_refused(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    await market.execute("UPDATE payments SET payment_provider = 'elsewhere'")
    request = payment_service_pb2.ConfirmPaymentRequest(
        request_id=str(uuid4()),
        payment_id=group.payment.payment_id,
        payment_method=payment_pb2.PaymentMethod(sandbox="ok"),
    )
    with pytest.raises(ValidationFailed) as refusal:
        await market.call(buyer, market.payments.ConfirmPayment, request)
    assert refusal.value.fields[0].field == "payment_method"
