"""An order from payment to the buyer's hands, its cancellations, expiry and lists, on real Postgres."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition, NotFound, PageTokenInvalid, ValidationFailed
from marketd.kernel.events import outbox
from marketd.kernel.events.events import read_event
from marketd.kernel.values.ids import new_id
from marketd.order import service
from marketd.order.events import OrderReady
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2

from tests.worlds.calls import caller_of
from tests.worlds.goods import Shop
from tests.worlds.ordering import Market, minor

PAID = order_pb2.ORDER_STATE_PAID
CANCELLED = order_pb2.ORDER_STATE_CANCELLED


async def _paid(market: Market, quantity: int = 1) -> tuple[Caller, Shop, UUID, order_pb2.Order]:
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    group = await market.paid(buyer, (variant, quantity))
    return buyer, shop, variant, group.orders[0]


async def _assign(market: Market, order_id: str) -> Caller:
    courier = caller_of(new_id(), Role.COURIER)
    await market.tx.run(
        "test.assign",
        lambda uow: service.delivery_assigned(
            uow, UUID(order_id), courier.known_user_id, new_id(), courier_id=new_id()
        ),
    )
    return courier


async def _events(market: Market, order_id: str) -> list[str]:
    events = await market.tx.read(lambda unit: outbox.read_aggregate(unit.connection, UUID(order_id), 0))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.event_type.removeprefix("order.") for event in events]


async def test_an_order_goes_the_whole_way(market: Market) -> None:
    buyer, shop, variant, placed = await _paid(market, 2)
    order_id = placed.order_id
    request = order_service_pb2.AcceptOrderRequest(order_id=order_id, prep_duration=Duration(seconds=1200))
    accepted = (await market.call(shop.caller, market.orders.AcceptOrder, request)).order
    assert accepted.prep_duration.seconds == 1_200
    assert accepted.expected_ready_time.seconds - accepted.accept_time.seconds == 1_200
    assert order_pb2.ORDER_ACTION_MARK_READY in accepted.allowed_actions
    ready = await market.ready(shop, order_id)
    assert ready.state == order_pb2.ORDER_STATE_READY
    courier = await _assign(market, order_id)
    assert (await market.get(courier, order_id)).order_id == order_id
    await market.tx.run("t", lambda uow: service.out_for_delivery(uow, UUID(order_id)))
    assert await market.value("SELECT on_hand FROM stocks WHERE variant_id = $1", variant) == 98
    with pytest.raises(IllegalTransition) as refusal:
        await market.cancel(buyer, order_id)
    assert refusal.value.metadata == {"current": "OUT_FOR_DELIVERY", "allowed": "DELIVERED"}
    assert refusal.value.message == "The order is OUT_FOR_DELIVERY; it cannot be cancelled any more."
    await market.tx.run("t", lambda uow: service.delivered(uow, UUID(order_id)))
    delivered = await market.get(buyer, order_id)
    assert delivered.state == order_pb2.ORDER_STATE_DELIVERED
    assert delivered.courier_id
    assert delivered.delivery_id
    with pytest.raises(NotFound):
        await market.get(courier, order_id)
    assert await _events(market, order_id) == [
        "placed",
        "paid",
        "accepted",
        "ready",
        "courier_assigned",
        "out_for_delivery",
        "delivered",
    ]
    assert await market.violations() == []


async def test_the_ready_event_carries_what_a_delivery_needs_and_nothing_personal(market: Market) -> None:
    buyer, shop, _, placed = await _paid(market, 3)
    await market.accept(shop, placed.order_id)
    await market.ready(shop, placed.order_id)
    stored = await market.tx.read(lambda unit: outbox.read_aggregate(unit.connection, UUID(placed.order_id), 3))
    event = read_event(OrderReady, stored[0])
    assert event.buyer_id == buyer.known_user_id
    assert event.seller_id == shop.seller_id
    assert not {"pickup", "dropoff"} & stored[0].payload.keys()
    assert event.item_count == 3
    assert event.expected_ready_time - event.ready_time > timedelta(minutes=9)


async def test_steps_out_of_turn_are_refused_with_what_is_allowed(market: Market) -> None:
    _, shop, _, placed = await _paid(market)
    with pytest.raises(IllegalTransition) as refusal:
        await market.ready(shop, placed.order_id)
    assert refusal.value.metadata == {"current": "PAID", "allowed": "ACCEPTED,REJECTED,CANCELLED"}
    accepted = await market.accept(shop, placed.order_id)
    assert await market.accept(shop, placed.order_id) == accepted
    with pytest.raises(IllegalTransition):
        await market.tx.run("t", lambda uow: service.out_for_delivery(uow, UUID(placed.order_id)))


async def test_a_stale_etag_is_refused_with_the_current_one(market: Market) -> None:
    _, shop, _, placed = await _paid(market)
    with pytest.raises(EtagMismatch) as refusal:
        await market.accept(shop, placed.order_id, placed.etag)
    current = (await market.get(shop.caller, placed.order_id)).etag
    assert refusal.value.metadata["etag"] == current
    assert (await market.accept(shop, placed.order_id, current)).etag != current


async def test_orders_of_others_are_not_found(market: Market) -> None:
    buyer, _, _, placed = await _paid(market)
    stranger, rival = await market.buyer(), await market.shop()
    for order_id in (placed.order_id, str(uuid4())):
        for caller in (stranger, rival.caller):
            with pytest.raises(NotFound):
                await market.get(caller, order_id)
            with pytest.raises(NotFound):
                await market.cancel(caller, order_id)
        with pytest.raises(NotFound):
            await market.accept(rival, order_id)
    with pytest.raises(NotFound):
        await market.accept(Shop(uuid4(), buyer), placed.order_id)
    for role in (Role.ADMIN, Role.SERVICE):
        assert (await market.get(caller_of(new_id(), role), placed.order_id)).order_id == placed.order_id


async def test_cancelling_a_paid_order_gives_stock_and_money_back(market: Market) -> None:
    buyer, shop, variant, placed = await _paid(market, 2)
    request_id = str(uuid4())
    cancelled = await market.cancel(buyer, placed.order_id, request_id=request_id)
    assert cancelled.state == CANCELLED
    assert not cancelled.allowed_actions
    assert await market.cancel(buyer, placed.order_id, request_id=request_id) == cancelled
    assert await market.reserved(variant) == 0
    await market.run_jobs()
    order = await market.get(buyer, placed.order_id)
    assert minor(order.refunded_amount) == minor(order.total)
    assert order.state == CANCELLED
    payment = await market.get_payment(buyer, placed.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert (payment.refunds[0].order_id, payment.refunds[0].reason) == (placed.order_id, "Order cancelled.")
    with pytest.raises(IllegalTransition):
        await market.cancel(shop.caller, placed.order_id)
    assert await market.violations() == []


async def test_a_part_of_a_paid_order_is_cancelled_and_then_the_rest(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp, chair = await market.variant(shop, price_minor=700), await market.variant(shop, price_minor=300)
    group = await market.paid(buyer, (lamp, 3), (chair, 2))
    order = group.orders[0]
    items = {item.variant_id: item.item_id for item in order.items}
    after = await market.cancel(buyer, order.order_id, (items[str(lamp)], 1))
    assert after.state == PAID
    assert {item.variant_id: item.cancelled_quantity for item in after.items} == {str(lamp): 1, str(chair): 0}
    await market.run_jobs()
    assert minor((await market.get(buyer, order.order_id)).refunded_amount) == 700
    assert [await market.reserved(variant) for variant in (lamp, chair)] == [2, 2]
    with pytest.raises(ValidationFailed) as refusal:
        await market.cancel(buyer, order.order_id, (items[str(chair)], 2), (items[str(lamp)], 3))
    assert refusal.value.fields[0].field == "lines[1].quantity"
    with pytest.raises(NotFound):
        await market.cancel(buyer, order.order_id, (str(uuid4()), 1))
    await market.cancel(shop.caller, order.order_id, (items[str(chair)], None))
    with pytest.raises(ValidationFailed) as refusal:
        await market.cancel(shop.caller, order.order_id, (items[str(lamp)], 1), (items[str(chair)], None))
    assert refusal.value.fields[0].field == "lines[1].quantity", "nothing of it is left to cancel"
    last = await market.cancel(shop.caller, order.order_id, (items[str(lamp)], 2))
    assert last.state == CANCELLED
    await market.run_jobs()
    assert minor((await market.get(buyer, order.order_id)).refunded_amount) == minor(order.total)
    assert await market.violations() == []


async def test_cancelling_one_order_of_an_unpaid_group_makes_the_payment_smaller(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    group = await market.place(buyer, (await market.variant(one), 1), (await market.variant(two), 4))
    first, second = group.orders
    await market.cancel(buyer, second.order_id, (second.items[0].item_id, 1))
    await market.cancel(buyer, first.order_id)
    payment = await market.get_payment(buyer, group.payment.payment_id)
    unit = minor(second.items[0].unit_price)
    assert minor(payment.amount) == minor(second.total) - unit
    assert await market.violations() == []
    assert minor((await market.confirm(buyer, payment.payment_id)).captured_amount) == minor(payment.amount)
    assert (await market.get(buyer, first.order_id)).state == CANCELLED
    assert (await market.get(buyer, second.order_id)).state == PAID
    assert await market.violations() == []


async def test_cancelling_all_of_an_unpaid_group_gives_the_payment_up(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    await market.cancel(buyer, group.orders[0].order_id)
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_CANCELLED
    with pytest.raises(IllegalTransition):
        await market.confirm(buyer, payment.payment_id)
    assert await market.reserved(variant) == 0


async def test_unpaid_orders_expire_and_their_stock_comes_back(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    unpaid = await market.place(buyer, (variant, 2))
    paid = await market.paid(buyer, (variant, 3))
    await market.run_jobs(ahead=timedelta(minutes=29))
    assert await market.reserved(variant) == 5
    await market.run_jobs(ahead=timedelta(minutes=31))
    assert (await market.get(buyer, unpaid.orders[0].order_id)).state == order_pb2.ORDER_STATE_EXPIRED
    assert (await market.get(buyer, paid.orders[0].order_id)).state == PAID
    assert await market.reserved(variant) == 3
    payment = await market.get_payment(buyer, unpaid.payment.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_CANCELLED
    assert await market.violations() == []


async def test_what_was_cancelled_of_a_group_stays_so_when_the_rest_of_it_expires(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    lamp, chair = await market.variant(one), await market.variant(two)
    group = await market.place(buyer, (lamp, 2), (chair, 3))
    gone, left = sorted(group.orders, key=lambda order: order.seller_id != str(one.seller_id))
    await market.cancel(buyer, gone.order_id)
    await market.run_jobs(ahead=timedelta(minutes=31))
    assert (await market.get(buyer, gone.order_id)).state == CANCELLED
    assert (await market.get(buyer, left.order_id)).state == order_pb2.ORDER_STATE_EXPIRED
    assert [await market.reserved(variant) for variant in (lamp, chair)] == [0, 0]
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_CANCELLED
    assert await market.violations() == []


async def test_a_payment_past_its_time_is_refused_also_before_the_job_has_run(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    market.clock.ahead = timedelta(minutes=31)
    with pytest.raises(IllegalTransition):
        await market.confirm(buyer, group.payment.payment_id)


async def test_a_delivered_order_is_refunded_with_its_last_cent_and_not_before(market: Market) -> None:
    buyer, shop, _, placed = await _paid(market)
    await market.accept(shop, placed.order_id)
    await market.ready(shop, placed.order_id)
    for step in (service.out_for_delivery, service.delivered):
        await market.tx.run("t", partial(step, order_id=UUID(placed.order_id)))
    but_a_cent = minor(placed.total) - 1
    await market.refund(shop.caller, placed.payment_id, order_id=placed.order_id, minor=but_a_cent)
    assert (await market.get(buyer, placed.order_id)).state == order_pb2.ORDER_STATE_DELIVERED
    payment = await market.get_payment(buyer, placed.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_PARTIALLY_REFUNDED
    last = await market.refund(shop.caller, placed.payment_id, order_id=placed.order_id)
    assert minor(last.refund.amount) == 1
    order = await market.get(buyer, placed.order_id)
    assert order.state == order_pb2.ORDER_STATE_REFUNDED
    assert order.HasField("refund_time")
    payment = await market.get_payment(buyer, placed.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert await market.violations() == []


async def test_an_order_refunded_on_its_way_is_refunded_when_it_arrives(market: Market) -> None:
    buyer, shop, _, placed = await _paid(market)
    await market.accept(shop, placed.order_id)
    await market.ready(shop, placed.order_id)
    await market.tx.run("t", lambda uow: service.out_for_delivery(uow, UUID(placed.order_id)))
    await market.refund(market.admin, placed.payment_id)
    assert (await market.get(buyer, placed.order_id)).state == order_pb2.ORDER_STATE_OUT_FOR_DELIVERY
    await market.tx.run("t", lambda uow: service.delivered(uow, UUID(placed.order_id)))
    assert (await market.get(buyer, placed.order_id)).state == order_pb2.ORDER_STATE_REFUNDED


async def _list(market: Market, caller: Caller, **filters: Any) -> order_service_pb2.ListOrdersResponse:
    return await market.call(caller, market.orders.ListOrders, order_service_pb2.ListOrdersRequest(**filters))


async def test_lists_show_what_is_the_callers_newest_first_page_by_page(market: Market) -> None:
    buyer, other_buyer = await market.buyer(), await market.buyer()
    one, two = await market.shop(), await market.shop()
    of_one, of_two = await market.variant(one), await market.variant(two)
    mine = [order.order_id for _ in range(3) for order in (await market.place(buyer, (of_one, 1), (of_two, 1))).orders]
    await market.place(other_buyer, (of_one, 1))
    seen: list[str] = []
    token = ""
    while True:
        page = await _list(market, buyer, page_size=4, page_token=token)
        seen += [order.order_id for order in page.orders]
        token = page.next_page_token
        if not token:
            break
        with pytest.raises(PageTokenInvalid):
            await _list(market, other_buyer, page_size=4, page_token=token)
        with pytest.raises(PageTokenInvalid):
            await _list(market, buyer, states=[PAID], page_token=token)
    assert seen == sorted(mine, reverse=True)
    assert {order.seller_id for order in (await _list(market, one.caller)).orders} == {str(one.seller_id)}
    assert len((await _list(market, one.caller)).orders) == 4
    assert len((await _list(market, market.admin)).orders) == 7
    assert len((await _list(market, market.admin, seller_ids=[str(two.seller_id)])).orders) == 3
    assert len((await _list(market, other_buyer, buyer_ids=[str(buyer.known_user_id)])).orders) == 0
    assert len((await _list(market, await market.buyer())).orders) == 0


async def test_lists_are_narrowed_by_state_group_time_and_courier(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    earlier = (await market.place(buyer, (variant, 1))).orders[0].order_id
    group = await market.paid(buyer, (variant, 1))
    order_id = group.orders[0].order_id
    assert [order.order_id for order in (await _list(market, buyer, states=[PAID])).orders] == [order_id]
    assert len((await _list(market, buyer, order_group_ids=[group.order_group_id])).orders) == 1
    at = Timestamp()
    at.CopyFrom(group.orders[0].create_time)
    assert [order.order_id for order in (await _list(market, buyer, create_time_from=at)).orders] == [order_id]
    assert [order.order_id for order in (await _list(market, buyer, create_time_before=at)).orders] == [earlier]
    await market.accept(shop, order_id)
    await market.ready(shop, order_id)
    courier = await _assign(market, order_id)
    assert [order.order_id for order in (await _list(market, courier)).orders] == [order_id]
    courier_id = (await market.get(buyer, order_id)).courier_id
    assert len((await _list(market, market.admin, courier_ids=[courier_id])).orders) == 1


async def test_a_courier_s_list_has_what_is_in_its_hands_and_nothing_that_was(market: Market) -> None:
    buyer, shop, _, placed = await _paid(market)
    await market.accept(shop, placed.order_id)
    await market.ready(shop, placed.order_id)
    courier = await _assign(market, placed.order_id)

    async def found(caller: Caller, **filters: Any) -> list[str]:
        return [order.order_id for order in (await _list(market, caller, **filters)).orders]

    for step in (None, service.out_for_delivery):
        if step is not None:
            await market.tx.run("t", partial(step, order_id=UUID(placed.order_id)))
        assert await found(courier) == [placed.order_id]
        # Who has bought it, and with what, a courier does not learn by asking for it.
        assert await found(courier, buyer_ids=[str(buyer.known_user_id)]) == []
        assert await found(courier, order_group_ids=[placed.order_group_id]) == []
        assert await found(caller_of(courier.known_user_id, Role.BUYER)) == [], "the role is taken"
    await market.tx.run("t", lambda uow: service.delivered(uow, UUID(placed.order_id)))
    assert await found(courier) == []
    assert await found(buyer) == [placed.order_id]


async def test_what_callers_may_do_is_told_to_each(market: Market) -> None:
    buyer, shop, _, placed = await _paid(market)
    actions = {
        name: set((await market.get(caller, placed.order_id)).allowed_actions)
        for name, caller in (("buyer", buyer), ("seller", shop.caller), ("admin", market.admin))
    }
    assert actions == {
        "buyer": {order_pb2.ORDER_ACTION_CANCEL},
        "seller": {
            order_pb2.ORDER_ACTION_ACCEPT,
            order_pb2.ORDER_ACTION_REJECT,
            order_pb2.ORDER_ACTION_CANCEL,
            order_pb2.ORDER_ACTION_REFUND,
        },
        "admin": {order_pb2.ORDER_ACTION_CANCEL, order_pb2.ORDER_ACTION_REFUND},
    }


async def test_cancellations_are_audited(market: Market) -> None:
    buyer, _, _, placed = await _paid(market)
    for _ in range(2):
        await market.cancel(buyer, placed.order_id)
    rows = await market.tx.read(
        lambda unit: unit.connection.fetch("SELECT code, actor_id FROM audit_entries WHERE resource_type = 'order'")
    )
    assert [tuple(row) for row in rows] == [("OK", buyer.user_id)]


async def test_cancelling_at_once_has_one_winner(market: Market, other: Market) -> None:
    buyer, shop, variant, placed = await _paid(market, 3)
    callers = [buyer, shop.caller, market.admin]
    results = await asyncio.gather(
        *((market, other)[n % 2].cancel(callers[n % 3], placed.order_id) for n in range(12)), return_exceptions=True
    )
    # Who has won is told so again, who comes second is refused.
    won = [result for result in results if isinstance(result, order_pb2.Order)]
    assert len(won) == 4
    assert all(result == won[0] for result in won)
    assert sum(isinstance(result, IllegalTransition) for result in results) == 8
    assert await market.reserved(variant) == 0
