"""ListOrderEvents: the whole story of an order, who did what, paged either way, and to whom it is told."""

from __future__ import annotations

import asyncio
import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound, PageTokenInvalid, ValidationFailed
from marketd.kernel.values.ids import new_id
from marketd.order import service
from marketplace.order.v1 import order_event_pb2, order_pb2, order_service_pb2

from tests.worlds.calls import caller_of
from tests.worlds.goods import Shop
from tests.worlds.ordering import Market, minor

_Kind, _Actor, _State = order_event_pb2.OrderEventKind, order_event_pb2.OrderEventActor, order_pb2.OrderState


async def _page(
    market: Market, caller: Caller, order_id: str, **asked: Any
) -> order_service_pb2.ListOrderEventsResponse:
    request = order_service_pb2.ListOrderEventsRequest(order_id=order_id, **asked)
    return await market.call(caller, market.orders.ListOrderEvents, request)


async def _events(market: Market, caller: Caller, order_id: str, **asked: Any) -> list[order_event_pb2.OrderEvent]:
    """Every page's events, three at a time."""
    found: list[order_event_pb2.OrderEvent] = []
    token = ""
    while True:
        page = await _page(market, caller, order_id, page_size=3, page_token=token, **asked)
        found += page.order_events
        token = page.next_page_token
        if not token:
            return found


def _told(events: list[order_event_pb2.OrderEvent]) -> list[tuple[int, str, str, str]]:
    return [
        (
            event.number,
            _Kind.Name(event.kind).removeprefix("ORDER_EVENT_KIND_"),
            _Actor.Name(event.actor).removeprefix("ORDER_EVENT_ACTOR_"),
            _State.Name(event.state).removeprefix("ORDER_STATE_"),
        )
        for event in events
    ]


async def _as(caller: Caller, market: Market, work: Any) -> None:
    """A step of delivery's, taken in a call of this caller's."""
    await market.call(caller, lambda _request, _context: market.tx.run("t", work), order_service_pb2.GetOrderRequest())


async def _deliver(market: Market, shop: Shop, order_id: str) -> Caller:
    courier, delivery_id = caller_of(new_id(), Role.COURIER), new_id()
    await market.accept(shop, order_id)
    await market.ready(shop, order_id)
    key = UUID(order_id)
    await market.tx.run("t", lambda uow: service.delivery_made(uow, key, delivery_id))
    user_id = courier.known_user_id
    await _as(
        market.admin,
        market,
        lambda uow: service.delivery_assigned(uow, key, user_id, delivery_id, courier_id=delivery_id),
    )
    await _as(courier, market, lambda uow: service.out_for_delivery(uow, key))
    await _as(courier, market, lambda uow: service.delivered(uow, key))
    return courier


async def test_the_whole_story_is_told_with_who_did_what_also_when_the_outbox_has_forgotten_it(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    group = await market.paid(buyer, (await market.variant(shop), 3))
    order = group.orders[0]
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1), note="one too many")
    courier = await _deliver(market, shop, order.order_id)
    await market.refund(market.admin, group.payment.payment_id, order_id=order.order_id, minor=100)
    await market.run_jobs()
    await market.execute("DELETE FROM outbox_events")
    events = await _events(market, buyer, order.order_id)
    assert _told(events)[:3] == [
        (1, "PLACED", "BUYER", "PENDING_PAYMENT"),
        (2, "PAID", "BUYER", "PAID"),
        (3, "LINES_CANCELLED", "BUYER", "PAID"),
    ]
    kinds = [kind for _, kind, _, _ in _told(events)]
    assert [kind for kind in kinds if kind != "REFUNDED"] == [
        *("PLACED", "PAID", "LINES_CANCELLED", "ACCEPTED", "READY", "DELIVERY_CREATED", "COURIER_ASSIGNED"),
        *("OUT_FOR_DELIVERY", "DELIVERED"),
    ]
    by = {kind: actor for _, kind, actor, _ in _told(events)}
    assert by == {
        "PLACED": "BUYER",
        "PAID": "BUYER",
        "LINES_CANCELLED": "BUYER",
        "ACCEPTED": "SELLER",
        "READY": "SELLER",
        "DELIVERY_CREATED": "SYSTEM",
        "COURIER_ASSIGNED": "ADMIN",
        "OUT_FOR_DELIVERY": "COURIER",
        "DELIVERED": "COURIER",
        "REFUNDED": "SYSTEM",
    }
    now = await market.get(buyer, order.order_id)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    one = {event.kind: event for event in events}
    assert minor(one[_Kind.ORDER_EVENT_KIND_PLACED].placed.total) == minor(order.total)
    assert one[_Kind.ORDER_EVENT_KIND_PLACED].placed.item_count == 3
    assert one[_Kind.ORDER_EVENT_KIND_PAID].paid.payment_id == group.payment.payment_id
    assert one[_Kind.ORDER_EVENT_KIND_PAID].occur_time == now.pay_time
    assert one[_Kind.ORDER_EVENT_KIND_ACCEPTED].accepted.prep_duration == now.prep_duration
    assert one[_Kind.ORDER_EVENT_KIND_ACCEPTED].accepted.expected_ready_time == now.expected_ready_time
    assert one[_Kind.ORDER_EVENT_KIND_LINES_CANCELLED].cancellation == now.cancellations[0]
    assert one[_Kind.ORDER_EVENT_KIND_COURIER_ASSIGNED].courier_assigned.courier_id == now.courier_id
    assert sum(minor(event.refunded.amount) for event in events) == minor(now.refunded_amount)
    assert events[-1].state == now.state
    assert await _events(market, buyer, order.order_id, order_by="number desc") == events[::-1]
    for caller in (shop.caller, market.admin, caller_of(new_id(), Role.SERVICE)):
        assert await _events(market, caller, order.order_id) == events
    strangers = (courier, await market.buyer(), (await market.shop()).caller)
    for caller in strangers:
        refusals = []
        for asked in (order.order_id, str(uuid4())):
            with pytest.raises(NotFound) as refused:
                await _page(market, caller, asked)
            refusals.append(str(refused.value).replace(asked, "?"))
        assert refusals[0] == refusals[1]


@pytest.mark.parametrize(
    ("ends", "kind", "actor"),
    [("reject", "REJECTED", "SELLER"), ("cancel", "CANCELLED", "ADMIN"), ("give up", "CANCELLED", "SYSTEM")],
)
async def test_an_end_is_told_with_its_reason_and_of_a_suspicion_the_buyer_is_not(
    market: Market, ends: str, kind: str, actor: str
) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    order = (await market.paid(buyer, (await market.variant(shop), 1))).orders[0]
    fraud = order_pb2.CANCELLATION_REASON_SUSPECTED_FRAUD
    if ends == "reject":
        await market.reject(shop, order.order_id, reason=fraud, note="third time")
    elif ends == "cancel":
        await market.cancel(market.admin, order.order_id, reason=fraud, note="third time")
    else:
        at = (await market.get(buyer, order.order_id)).accept_expire_time.ToDatetime()
        await market.run_jobs(ahead=at - order.create_time.ToDatetime())
    seen = {
        name: (await _page(market, caller, order.order_id)).order_events[2]
        for name, caller in {"buyer": buyer, "seller": shop.caller, "admin": market.admin}.items()
    }
    assert {_told([event])[0][1:3] for event in seen.values()} == {(kind, actor)}
    whole, told = seen["seller"].cancellation, seen["buyer"].cancellation
    assert whole == seen["admin"].cancellation
    if ends == "give up":
        assert told == whole
        assert whole.reason == order_pb2.CANCELLATION_REASON_NOT_ACCEPTED_IN_TIME
    else:
        assert (whole.reason, whole.note) == (fraud, "third time")
        assert (told.reason, told.HasField("note")) == (order_pb2.CANCELLATION_REASON_OTHER, False)
    assert told == (await market.get(buyer, order.order_id)).cancellations[0]


async def test_an_order_that_nobody_pays_expires_by_itself(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    order = (await market.place(buyer, (await market.variant(shop), 1))).orders[0]
    at = order.payment_expire_time.ToDatetime() - order.create_time.ToDatetime()
    await market.run_jobs(ahead=at)
    events = await _events(market, buyer, order.order_id)
    assert _told(events) == [
        (1, "PLACED", "BUYER", "PENDING_PAYMENT"),
        (2, "EXPIRED", "SYSTEM", "EXPIRED"),
    ]
    assert events[1].previous_state == order_pb2.ORDER_STATE_PENDING_PAYMENT


async def test_pages_stay_as_they_were_while_the_story_goes_on_and_tokens_are_of_one_list(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    orders = [(await market.paid(buyer, (await market.variant(shop), 1))).orders[0] for _ in range(2)]
    first = await _page(market, buyer, orders[0].order_id, page_size=1)
    newest = await _page(market, buyer, orders[0].order_id, page_size=1, order_by="number desc")
    await market.accept(shop, orders[0].order_id)
    rest = await _page(market, buyer, orders[0].order_id, page_token=first.next_page_token)
    assert [event.number for event in rest.order_events] == [2, 3]
    older = await _page(market, buyer, orders[0].order_id, page_token=newest.next_page_token, order_by="number desc")
    assert [event.number for event in older.order_events] == [1]
    for caller, order_id, asked in (
        (buyer, orders[1].order_id, {}),
        (shop.caller, orders[0].order_id, {}),
        (buyer, orders[0].order_id, {"order_by": "number desc"}),
    ):
        with pytest.raises(PageTokenInvalid):
            await _page(market, caller, order_id, page_token=first.next_page_token, **asked)
    with pytest.raises(ValidationFailed):
        await _page(market, buyer, orders[0].order_id, order_by="occur_time")


async def test_each_version_of_an_order_has_its_step_whoever_moves_it_at_the_same_time(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    group = await market.paid(buyer, (await market.variant(shop), 20))
    order = group.orders[0]
    item = order.items[0].item_id
    await asyncio.gather(
        market.accept(shop, order.order_id),
        *(market.cancel(buyer, order.order_id, (item, 1)) for _ in range(4)),
        *(market.cancel(shop.caller, order.order_id, (item, 1)) for _ in range(4)),
        *(market.refund(market.admin, group.payment.payment_id, order_id=order.order_id, minor=5) for _ in range(3)),
    )
    await market.run_jobs()
    version = await market.value("SELECT version FROM orders WHERE order_id = $1", UUID(order.order_id))
    events = await _events(market, buyer, order.order_id)
    assert [event.number for event in events] == list(range(1, version + 1))
    for before, after in pairwise(events):
        assert after.previous_state == before.state
    assert sum(kind == "LINES_CANCELLED" for _, kind, _, _ in _told(events)) == 8
    places = [event.cancellation for event in events if event.WhichOneof("detail") == "cancellation"]
    assert places == list((await market.get(buyer, order.order_id)).cancellations)


@pytest.mark.parametrize("kept", [100, 4, 0])
async def test_orders_from_before_the_table_have_the_steps_that_are_known_of_them(market: Market, kept: int) -> None:
    """As the migration finds them: with all events in the outbox, the last ones, or none."""
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    delivered = (await market.paid(buyer, (variant, 3))).orders[0]
    await market.cancel(buyer, delivered.order_id, (delivered.items[0].item_id, 1))
    await _deliver(market, shop, delivered.order_id)
    rejected = (await market.paid(buyer, (variant, 1))).orders[0]
    await market.reject(shop, rejected.order_id, note="no more")
    waiting = (await market.place(buyer, (variant, 1))).orders[0]
    orders = (delivered, rejected, waiting)
    before = [await _events(market, buyer, order.order_id) for order in orders]
    await market.execute(
        "DELETE FROM outbox_events e WHERE aggregate = 'order' AND seq <= (SELECT last_seq FROM aggregate_sequences s"
        " WHERE s.aggregate_id = e.aggregate_id) - $1",
        kept,
    )
    await market.execute("DELETE FROM order_events")
    migration = _migration("0047_keep_order_events")
    for statement in (migration._FROM_OUTBOX, migration._FROM_ORDERS):
        await market.execute(statement)
    for order, whole in zip(orders, before, strict=True):
        found = await _events(market, buyer, order.order_id)
        numbers = [event.number for event in found]
        assert numbers == sorted(set(numbers))
        of_the_order = {"DELIVERY_CREATED", "COURIER_ASSIGNED", "REFUNDED"}
        known = [event for event in whole if kept == 100 or event.number > len(whole) - kept]
        known = [
            event
            for event in whole
            if event in known or _Kind.Name(event.kind).removeprefix("ORDER_EVENT_KIND_") not in of_the_order
        ]
        assert _shown(found) == _shown(known)


def _migration(name: str) -> ModuleType:
    path = Path(__file__).parents[3] / "migrations" / "versions" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _shown(events: list[order_event_pb2.OrderEvent]) -> list[order_event_pb2.OrderEvent]:
    """But for the numbers, and for who gave a courier something, which was nowhere kept."""
    shown: list[order_event_pb2.OrderEvent] = []
    for event in events:
        bare = order_event_pb2.OrderEvent()
        bare.CopyFrom(event)
        bare.ClearField("number")
        if event.kind == _Kind.ORDER_EVENT_KIND_COURIER_ASSIGNED:
            bare.ClearField("actor")
        shown.append(bare)
    return shown
