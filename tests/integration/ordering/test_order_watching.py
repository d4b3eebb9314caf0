"""WatchOrder: the snapshot, every change as it was, resuming, heartbeats, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.events import outbox
from marketd.kernel.events.broadcast import LocalBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import Beat
from marketd.order import service
from marketd.order.watch import OrderSnapshot, watch_order
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.type.v1 import watch_pb2

from tests.worlds.calls import caller_of
from tests.worlds.goods import Shop
from tests.worlds.order_ways import assign, ready_order
from tests.worlds.ordering import Market

Response = order_service_pb2.WatchOrderResponse


def _watch(market: Market, caller: Caller, order_id: str, resume_token: str = "") -> AsyncIterator[Response]:
    calls.enter(Call(caller=caller))
    request = order_service_pb2.WatchOrderRequest(order_id=order_id, resume_token=resume_token)
    return market.orders.WatchOrder(request, cast(Any, None))


async def _deliver(market: Market, shop: Shop, order_id: str) -> None:
    await market.accept(shop, order_id)
    await market.ready(shop, order_id)
    await market.tx.run("t", lambda uow: service.out_for_delivery(uow, UUID(order_id)))
    await market.tx.run("t", lambda uow: service.delivered(uow, UUID(order_id)))


def _steps(messages: list[Response]) -> list[tuple[str, str]]:
    name = order_pb2.OrderState.Name
    return [
        (
            name(message.changed.previous_state).removeprefix("ORDER_STATE_"),
            name(message.changed.order.state).removeprefix("ORDER_STATE_"),
        )
        for message in messages
        if message.HasField("changed")
    ]


WAY = [
    ("PENDING_PAYMENT", "PAID"),
    ("PAID", "ACCEPTED"),
    ("ACCEPTED", "READY"),
    ("READY", "OUT_FOR_DELIVERY"),
    ("OUT_FOR_DELIVERY", "DELIVERED"),
]


async def test_a_watcher_gets_the_snapshot_every_change_in_order_and_the_end(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    group = await market.place(buyer, (await market.variant(shop), 1))
    order_id = group.orders[0].order_id
    watching: dict[str, list[Response]] = {"buyer": [], "seller": [], "admin": []}
    started = asyncio.Barrier(4)

    async def watch(name: str, caller: Caller) -> None:
        stream = _watch(market, caller, order_id)
        watching[name].append(await anext(stream))
        await started.wait()
        async for message in stream:
            watching[name].append(message)

    callers = {"buyer": buyer, "seller": shop.caller, "admin": market.admin}
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for name, caller in callers.items():
            tasks.create_task(watch(name, caller))
        await started.wait()
        await market.confirm(buyer, group.payment.payment_id)
        await _deliver(market, shop, order_id)
    for messages in watching.values():
        assert messages[0].snapshot.order.state == order_pb2.ORDER_STATE_PENDING_PAYMENT
        assert _steps(messages) == WAY
        assert len({message.resume_token for message in messages}) == len(messages)
    paid = watching["seller"][1].changed.order
    assert order_pb2.ORDER_ACTION_ACCEPT in paid.allowed_actions


async def test_changes_are_shown_as_they_were_also_when_they_are_read_late(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    group = await market.place(buyer, (await market.variant(shop), 2))
    order_id = group.orders[0].order_id
    stream = _watch(market, buyer, order_id)
    snapshot = await anext(stream)
    await market.confirm(buyer, group.payment.payment_id)
    await market.cancel(buyer, order_id, (group.orders[0].items[0].item_id, 1))
    await _deliver(market, shop, order_id)
    messages = [message async for message in stream]
    assert _steps(messages) == [WAY[0], ("PAID", "PAID"), *WAY[1:]]
    paid, cut, accepted = (message.changed.order for message in messages[:3])
    assert not paid.HasField("accept_time")
    assert not paid.HasField("prep_duration")
    assert (paid.items[0].cancelled_quantity, cut.items[0].cancelled_quantity) == (0, 1)
    assert accepted.HasField("accept_time")
    assert not accepted.HasField("ready_time")
    assert paid.etag != snapshot.snapshot.order.etag
    for message in messages:
        assert message.changed.change_time == message.changed.order.update_time
    assert messages[-1].changed.order == await market.get(buyer, order_id)


async def test_a_stream_resumes_after_any_message_without_gaps_or_repeats(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    group = await market.place(buyer, (await market.variant(shop), 1))
    order_id = group.orders[0].order_id
    stream = _watch(market, buyer, order_id)
    messages = [await anext(stream)]
    await market.confirm(buyer, group.payment.payment_id)
    await _deliver(market, shop, order_id)
    messages += [message async for message in stream]
    for place, message in enumerate(messages):
        resumed = [later async for later in _watch(market, buyer, order_id, message.resume_token)]
        assert _steps(resumed) == WAY[place:]
        assert not any(later.HasField("snapshot") or later.HasField("reset") for later in resumed)


async def test_a_token_of_no_use_resets_and_starts_over(market: Market) -> None:
    buyer, shop, stranger = await market.buyer(), await market.shop(), await market.buyer()
    group = await market.paid(buyer, (await market.variant(shop), 1))
    order_id = group.orders[0].order_id
    stream = _watch(market, buyer, order_id)
    cursor = (await anext(stream)).resume_token
    await market.accept(shop, order_id)
    await market.ready(shop, order_id)
    await market.execute("DELETE FROM outbox_events WHERE aggregate_id = $1 AND seq = 3", UUID(order_id))
    lost, unknown = watch_pb2.STREAM_RESET_REASON_EVENTS_LOST, watch_pb2.STREAM_RESET_REASON_TOKEN_UNKNOWN
    for caller, token, reason in (
        (buyer, cursor, lost),
        (buyer, "nonsense", unknown),
        (buyer, cursor[:-2] + "xx", unknown),
        (shop.caller, cursor, unknown),  # who may watch the order too, and was not told what the buyer was
    ):
        again = _watch(market, caller, order_id, token)
        reset, snapshot = await anext(again), await anext(again)
        assert reset.reset.reason == reason
        assert reset.reset.message
        assert snapshot.snapshot.order.state == order_pb2.ORDER_STATE_READY
        # A connection that breaks between the two: the snapshot must not be lost.
        once_more = _watch(market, caller, order_id, reset.resume_token)
        assert (await anext(once_more)).HasField("reset")
        assert (await anext(once_more)).snapshot == snapshot.snapshot
    with pytest.raises(NotFound):
        await anext(_watch(market, stranger, order_id, cursor))


async def test_a_token_is_good_for_a_day(market: Market) -> None:
    buyer = await market.buyer()
    group = await market.place(buyer, (await market.variant(await market.shop()), 1))
    order_id = group.orders[0].order_id
    token = (await anext(_watch(market, buyer, order_id))).resume_token
    await market.cancel(buyer, order_id)
    market.clock.ahead = timedelta(hours=23)
    assert _steps([await anext(_watch(market, buyer, order_id, token))]) == [("PENDING_PAYMENT", "CANCELLED")]
    market.clock.ahead = timedelta(hours=25)
    again = _watch(market, buyer, order_id, token)
    reset, snapshot = await anext(again), await anext(again)
    assert reset.reset.reason == watch_pb2.STREAM_RESET_REASON_TOKEN_TOO_OLD
    assert snapshot.snapshot.order.state == order_pb2.ORDER_STATE_CANCELLED


async def test_a_watch_of_an_order_that_is_over_is_a_snapshot_and_the_end(market: Market) -> None:
    buyer = await market.buyer()
    group = await market.place(buyer, (await market.variant(await market.shop()), 1))
    order_id = group.orders[0].order_id
    await market.cancel(buyer, order_id)
    [only] = [message async for message in _watch(market, buyer, order_id)]
    assert only.snapshot.order.state == order_pb2.ORDER_STATE_CANCELLED
    assert [message async for message in _watch(market, buyer, order_id, only.resume_token)] == []


async def test_a_change_that_is_in_the_snapshot_already_is_not_told_again(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    order_id = (await market.paid(buyer, (await market.variant(shop), 1))).orders[0].order_id
    read, accepted = outbox.last_seq, asyncio.Event()

    async def read_just_too_early(*arguments: Any) -> int:
        number = await read(*arguments)
        if not accepted.is_set():
            accepted.set()
            await market.accept(shop, order_id)
        return number

    monkeypatch.setattr(outbox, "last_seq", read_just_too_early)
    stream = _watch(market, buyer, order_id)
    assert (await anext(stream)).snapshot.order.state == order_pb2.ORDER_STATE_ACCEPTED
    await market.ready(shop, order_id)
    assert _steps([await anext(stream)]) == [("ACCEPTED", "READY")]


async def test_a_last_change_that_comes_between_two_reads_ends_the_watch(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await market.buyer()
    group = await market.place(buyer, (await market.variant(await market.shop()), 1))
    order_id = group.orders[0].order_id
    stream = _watch(market, buyer, order_id)
    await anext(stream)
    read, cancelled = outbox.read_aggregate, asyncio.Event()

    async def read_just_too_early(*arguments: Any, **more: Any) -> Any:
        events = await read(*arguments, **more)
        if not cancelled.is_set():
            cancelled.set()
            await market.cancel(buyer, order_id)
        return events

    monkeypatch.setattr(outbox, "read_aggregate", read_just_too_early)
    async with asyncio.timeout(5):
        messages = [message async for message in stream]
    assert _steps(messages) == [("PENDING_PAYMENT", "CANCELLED")]


async def test_orders_of_others_cannot_be_watched(market: Market) -> None:
    buyer, stranger = await market.buyer(), await market.buyer()
    group = await market.place(buyer, (await market.variant(await market.shop()), 1))
    for caller in (stranger, caller_of(uuid4(), Role.COURIER), caller_of(uuid4(), Role.SELLER)):
        for order_id in (group.orders[0].order_id, str(uuid4())):
            with pytest.raises(NotFound):
                await anext(_watch(market, caller, order_id))
    # A courier sees the order that it brings, and not what becomes of its money.
    _, _, _, brought = await ready_order(market)
    await assign(market, brought.order_id)
    courier = caller_of(await market.value("SELECT courier_user_id FROM orders WHERE state = 'READY'"), Role.COURIER)
    assert (await market.get(courier, brought.order_id)).order_id == brought.order_id
    with pytest.raises(NotFound):
        await anext(_watch(market, courier, brought.order_id))


async def test_silence_is_filled_with_heartbeats_and_nothing_is_left_behind(market: Market) -> None:
    buyer = await market.buyer()
    group = await market.place(buyer, (await market.variant(await market.shop()), 1))
    order_id = UUID(group.orders[0].order_id)
    feed = Feed(LocalBroadcast())
    stream = watch_order(market.tx, feed, buyer, order_id, None, beat_seconds=0.02)
    assert isinstance((await anext(stream))[1], OrderSnapshot)
    for _ in range(3):
        assert isinstance((await anext(stream))[1], Beat)
    await stream.aclose()
    assert not feed.watches
    assert not feed.open


async def test_a_lost_wake_up_costs_at_most_a_poll(market: Market, other: Market) -> None:
    """The other worker's feed is not joined to this one's, so nothing wakes the watcher."""
    buyer = await market.buyer()
    group = await market.place(buyer, (await market.variant(await market.shop()), 1))
    stream = _watch(market, buyer, group.orders[0].order_id)
    await anext(stream)
    await other.cancel(buyer, group.orders[0].order_id)
    async with asyncio.timeout(3):
        changed = await anext(stream)
    assert _steps([changed]) == [("PENDING_PAYMENT", "CANCELLED")]


async def test_each_change_shows_the_cancellations_until_then_with_their_words(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    order = (await market.paid(buyer, (await market.variant(shop), 3))).orders[0]
    item = order.items[0].item_id
    live = _watch(market, buyer, order.order_id)
    first = await anext(live)
    assert not first.snapshot.order.cancellations
    for note in ("one less", "two less"):
        await market.cancel(buyer, order.order_id, (item, 1), note=note)
    await market.cancel(buyer, order.order_id, note="none at all")
    seen = [first, *[message async for message in live]]
    again = [message async for message in _watch(market, buyer, order.order_id, first.resume_token)]
    for messages in (seen[1:], again):
        told = [[one.note for one in message.changed.order.cancellations] for message in messages]
        assert told == [["one less"], ["one less", "two less"], ["one less", "two less", "none at all"]]
