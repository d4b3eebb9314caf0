"""Goods that need no shipping: quoted without an address, brought by nobody, the buyer's when the seller says so."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from google.protobuf.message import Message
from marketd.cart.errors import AddressNotServiceable
from marketd.delivery.follow_orders import OrderFollower
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition, ValidationFailed
from marketd.kernel.wire import to_address
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2

from tests.worlds.goods import HOME, Shop
from tests.worlds.ordering import Market

READY, DELIVERED = order_pb2.ORDER_STATE_READY, order_pb2.ORDER_STATE_DELIVERED
NOWHERE = cart_service_pb2.QuoteOrderRequest()


def present(message: Message, *names: str) -> list[str]:
    return [name for name in names if message.HasField(name)]


async def _unsent(market: Market, shop: Shop, *, stock: int = 100) -> UUID:
    """A variant that needs no shipping."""
    variant_id = await market.variant(shop, stock=stock)
    await market.execute("UPDATE variants SET requires_shipping = false WHERE variant_id = $1", variant_id)
    return variant_id


async def _quote(
    market: Market, buyer: Caller, request: cart_service_pb2.QuoteOrderRequest = NOWHERE
) -> cart_service_pb2.QuoteOrderResponse:
    return await market.call(buyer, market.carts.QuoteOrder, request)


async def _paid(market: Market, quantity: int = 1) -> tuple[Caller, Shop, UUID, order_pb2.Order]:
    """A paid order of such goods alone, placed without an address."""
    buyer, shop = await market.buyer(), await market.shop()
    variant = await _unsent(market, shop)
    await market.add(buyer, variant, quantity)
    group = await market.place_quote(buyer, await _quote(market, buyer))
    await market.confirm(buyer, group.payment.payment_id)
    return buyer, shop, variant, group.orders[0]


async def _accepted(market: Market, quantity: int = 1) -> tuple[Caller, Shop, UUID, order_pb2.Order]:
    buyer, shop, variant, order = await _paid(market, quantity)
    return buyer, shop, variant, await market.accept(shop, order.order_id)


async def _stock(market: Market, variant_id: UUID) -> tuple[int, int]:
    row = await market.tx.read(
        lambda unit: unit.connection.fetchrow("SELECT on_hand, reserved FROM stocks WHERE variant_id = $1", variant_id)
    )
    assert row is not None
    return row["on_hand"], row["reserved"]


async def test_a_cart_of_them_alone_is_quoted_without_an_address_and_without_a_fee(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    cart = await market.add(buyer, await _unsent(market, shop), 2)
    assert [item.requires_shipping for item in cart.items] == [False]
    market.quoter.serves = False
    for request in (NOWHERE, cart_service_pb2.QuoteOrderRequest(address=to_address(HOME))):
        quote = await _quote(market, buyer, request)
        (package,) = quote.packages
        assert not quote.problems
        assert quote.quote_token
        assert quote.total == quote.subtotal == package.total
        assert (package.delivery_fee.units, package.delivery_fee.nanos) == (0, 0)
        assert not present(quote, "address", "eta")
        assert not present(package, "eta", "distance_meters")
        assert [item.requires_shipping for item in package.items] == [False]


async def test_whatever_is_sent_needs_an_address_and_whoever_sends_nothing_is_not_told_it(market: Market) -> None:
    buyer, letters, lamps = await market.buyer(), await market.shop(), await market.shop()
    await market.add(buyer, await _unsent(market, letters))
    await market.add(buyer, await market.variant(lamps))
    with pytest.raises(ValidationFailed) as refused:
        await _quote(market, buyer)
    assert [each.field for each in refused.value.fields] == ["address"]
    market.quoter.serves = False
    problems = (await market.quote(buyer)).problems
    assert [(each.kind, each.seller_id) for each in problems] == [
        (cart_pb2.PROBLEM_KIND_ADDRESS_NOT_SERVICEABLE, str(lamps.seller_id))
    ]
    market.quoter.serves = True
    quote = await market.quote(buyer)
    assert quote.address.recipient == "Ada"
    fees = {package.seller_id: package.delivery_fee.units for package in quote.packages}
    assert fees == {str(letters.seller_id): 0, str(lamps.seller_id): 4}
    group = await market.place_quote(buyer, quote)
    assert group.total == quote.total
    orders = {order.seller_id: order for order in group.orders}
    unsent, sent = orders[str(letters.seller_id)], orders[str(lamps.seller_id)]
    assert [len(present(order, "address", "eta")) for order in (unsent, sent)] == [0, 2]
    assert [[item.requires_shipping for item in order.items] for order in (unsent, sent)] == [[False], [True]]
    await market.confirm(buyer, group.payment.payment_id)
    for shop, order in ((letters, unsent), (lamps, sent)):
        await market.accept(shop, order.order_id)
    assert (await market.ready(letters, unsent.order_id)).state == DELIVERED
    assert (await market.ready(lamps, sent.order_id)).state == READY
    assert await market.violations() == []


async def test_one_shop_with_both_sends_the_usual_way(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await _unsent(market, shop))
    await market.add(buyer, await market.variant(shop))
    market.quoter.serves = False
    with pytest.raises(AddressNotServiceable):
        await market.quote(buyer)
    market.quoter.serves = True
    group = await market.place_quote(buyer, await market.quote(buyer))
    (order,) = group.orders
    assert order.delivery_fee.units == 4
    await market.confirm(buyer, group.payment.payment_id)
    await market.accept(shop, order.order_id)
    assert (await market.ready(shop, order.order_id)).state == READY


async def test_when_nothing_is_left_that_is_sent_the_fee_goes_back_and_nobody_comes_for_the_rest(
    market: Market,
) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    letter, lamp = await _unsent(market, shop), await market.variant(shop)
    group = await market.paid(buyer, (letter, 1), (lamp, 2))
    order = await market.accept(shop, group.orders[0].order_id)
    (sent,) = (item.item_id for item in order.items if item.requires_shipping)
    await market.cancel(shop.caller, order.order_id, (sent, 1))
    cut = await market.cancel(shop.caller, order.order_id, (sent, 1))
    # Lamps cost 10.00, and bringing them 4.90.
    assert [(each.amount.units, each.amount.nanos) for each in cut.cancellations] == [(10, 0), (14, 900_000_000)]
    done = await market.ready(shop, order.order_id)
    assert done.state == DELIVERED
    assert (await _stock(market, letter), await _stock(market, lamp)) == ((99, 0), (100, 0))
    await market.run_jobs()
    request = order_service_pb2.GetReceiptRequest(order_id=order.order_id)
    receipt = (await market.call(buyer, market.orders.GetReceipt, request)).receipt
    assert (receipt.total.units, receipt.delivery_fee.units) == (10, 0)
    assert (
        receipt.cancelled_amount == done.cancelled_amount == (await market.get(buyer, order.order_id)).refunded_amount
    )
    assert await market.violations() == []


async def test_when_what_is_sent_is_cancelled_after_it_was_ready_the_rest_is_the_buyers(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    letter, lamp = await _unsent(market, shop), await market.variant(shop)
    group = await market.paid(buyer, (letter, 2), (lamp, 1))
    order = await market.accept(shop, group.orders[0].order_id)
    await market.ready(shop, order.order_id)
    (sent,) = (item.item_id for item in order.items if item.requires_shipping)
    (unsent,) = (item.item_id for item in order.items if not item.requires_shipping)
    done = await market.cancel(buyer, order.order_id, (sent, 1), (unsent, 1))
    # The lamp and a letter cost 10.00 each, and bringing them 4.90.
    assert (done.state, done.cancelled_amount.units, done.cancelled_amount.nanos) == (DELIVERED, 24, 900_000_000)
    assert done.ready_time.ToDatetime() < done.deliver_time.ToDatetime()
    assert (await _stock(market, letter), await _stock(market, lamp)) == ((99, 0), (100, 0))
    # Whoever has lost the answer asks again.
    assert await market.ready(shop, order.order_id) == await market.get(shop.caller, order.order_id)
    with pytest.raises(IllegalTransition):
        await market.cancel(buyer, order.order_id, (unsent, 1))
    await market.run_jobs()
    assert (await market.get(buyer, order.order_id)).refunded_amount == done.cancelled_amount
    request = order_service_pb2.GetReceiptRequest(order_id=order.order_id)
    receipt = (await market.call(buyer, market.orders.GetReceipt, request)).receipt
    assert (receipt.total.units, receipt.delivery_fee.units, receipt.delivery_fee.nanos) == (10, 0, 0)
    assert await market.violations() == []


async def test_ready_means_delivered_and_the_pieces_leave_the_stock(market: Market) -> None:
    buyer, shop, variant, order = await _accepted(market, 3)
    assert (order.state, await _stock(market, variant)) == (order_pb2.ORDER_STATE_ACCEPTED, (100, 3))
    assert list(order.allowed_actions) == [
        order_pb2.ORDER_ACTION_MARK_READY,
        order_pb2.ORDER_ACTION_CANCEL,
        order_pb2.ORDER_ACTION_REFUND,
    ]
    done = await market.ready(shop, order.order_id)
    assert (done.state, await _stock(market, variant)) == (DELIVERED, (97, 0))
    assert done.ready_time == done.deliver_time
    assert not present(done, "delivery_id", "courier_id", "out_for_delivery_time")
    assert list(done.allowed_actions) == [order_pb2.ORDER_ACTION_REFUND]
    # Whoever has lost the answer asks again, with the etag from before.
    assert await market.ready(shop, order.order_id) == done
    assert await _stock(market, variant) == (97, 0)
    with pytest.raises(IllegalTransition):
        await market.cancel(buyer, order.order_id)
    moved = (
        "SELECT string_agg(kind || ' ' || delta, ', ' ORDER BY movement_id) FROM stock_movements WHERE reference = $1"
    )
    assert await market.value(moved, UUID(order.order_id)) == "SHIPPED -3"
    assert await market.violations() == []


async def test_nobody_makes_a_delivery_of_it(market: Market) -> None:
    _, shop, _, order = await _accepted(market)
    await market.ready(shop, order.order_id)
    followed = {event_type for event_type, _, _ in OrderFollower(pace=cast("Any", None)).handlers()}
    told = await market.value(
        "SELECT array_agg(event_type ORDER BY position) FROM outbox_events WHERE aggregate_id = $1",
        UUID(order.order_id),
    )
    assert told == ["order.placed", "order.paid", "order.accepted", "order.delivered"]
    assert not followed & set(told)


async def test_of_a_cancellation_and_the_last_word_at_once_one_happens(market: Market) -> None:
    for _ in range(3):
        buyer, shop, variant, order = await _accepted(market)
        outcomes = await asyncio.gather(
            market.ready(shop, order.order_id), market.cancel(buyer, order.order_id), return_exceptions=True
        )
        assert sum(isinstance(outcome, IllegalTransition) for outcome in outcomes) == 1
        state = (await market.get(buyer, order.order_id)).state
        delivered = state == DELIVERED
        assert delivered or state == order_pb2.ORDER_STATE_CANCELLED
        assert await _stock(market, variant) == ((99, 0) if delivered else (100, 0))
    assert await market.violations() == []


async def test_a_watcher_sees_it_end_and_money_may_go_back_after_it(market: Market) -> None:
    buyer, shop, _, order = await _accepted(market)
    calls.enter(Call(caller=buyer))
    request = order_service_pb2.WatchOrderRequest(order_id=order.order_id)
    stream = market.orders.WatchOrder(request, cast("Any", None))
    assert (await anext(stream)).snapshot.order.state == order_pb2.ORDER_STATE_ACCEPTED
    done = await market.ready(shop, order.order_id)
    (last,) = [each.changed async for each in stream]
    assert last.previous_state == order_pb2.ORDER_STATE_ACCEPTED
    assert (last.order.state, last.order.etag, last.order.ready_time) == (DELIVERED, done.etag, done.ready_time)
    payment_id = (await market.get(buyer, order.order_id)).payment_id
    await market.refund(shop.caller, payment_id, order_id=order.order_id)
    assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_REFUNDED
    assert await market.violations() == []


async def test_its_receipt_names_no_place_and_no_delivery(market: Market) -> None:
    buyer, _, _, order = await _accepted(market)
    request = order_service_pb2.GetReceiptRequest(order_id=order.order_id)
    receipt = (await market.call(buyer, market.orders.GetReceipt, request)).receipt
    assert not receipt.HasField("buyer_address")
    assert "Delivery" not in receipt.text + receipt.html
    assert "<address>" not in receipt.html
    assert receipt.total == order.total


async def test_one_that_nobody_accepts_in_time_ends_as_any_other(market: Market) -> None:
    buyer, _, variant, order = await _paid(market)
    await market.run_jobs(ahead=timedelta(minutes=61))
    ended = await market.get(buyer, order.order_id)
    assert ended.state == order_pb2.ORDER_STATE_CANCELLED
    assert ended.cancellations[-1].reason == order_pb2.CANCELLATION_REASON_NOT_ACCEPTED_IN_TIME
    assert ended.refunded_amount == ended.total
    assert await _stock(market, variant) == (100, 0)
    assert await market.violations() == []


async def test_opening_hours_count_for_them_too(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await _unsent(market, shop))
    opens = (market.clock.now() + timedelta(hours=30)).replace(second=0, microsecond=0)
    day = f'{{"date": "{opens.date()}", "note": "", "spans": []}}'
    closed = ", ".join(day.replace(str(opens.date()), str((opens + timedelta(days=n)).date())) for n in range(-2, 3))
    await market.execute(
        "UPDATE sellers SET time_zone = 'UTC', opening_exceptions = $2::text::jsonb WHERE seller_id = $1",
        shop.seller_id,
        f"[{closed}]",
    )
    (problem,) = (await _quote(market, buyer)).problems
    assert problem.kind == cart_pb2.PROBLEM_KIND_SELLER_CLOSED


async def test_a_check_finds_what_is_sent_nowhere_and_an_address_that_nobody_needs(market: Market) -> None:
    buyer, _, _, order = await _paid(market)
    sent = await market.place(buyer, (await market.variant(await market.shop()), 1))
    assert await market.violations() == []
    flip = "UPDATE order_items SET requires_shipping = NOT requires_shipping"
    await market.execute(flip)
    await market.execute("UPDATE orders SET state = 'READY' WHERE order_id = $1", UUID(sent.orders[0].order_id))
    found = " ".join(await market.violations())
    assert f"{order.order_id} is sent nowhere" in found
    assert f"{sent.orders[0].order_id} is not sent, and has an address" in found
    assert f"{sent.orders[0].order_id} READY with nothing left that is sent" in found
