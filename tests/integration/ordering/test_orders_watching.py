"""WatchOrders: the snapshot, every step of every order in order, filters, resuming anywhere, and what falls behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.horizon import Horizon
from marketd.kernel.events.broadcast import LocalBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import Beat
from marketd.order.live import convert
from marketd.order.live import hub as hubs
from marketd.order.live.convert import context_of
from marketd.order.live.hub import OrderHub
from marketd.order.live.places import Place
from marketd.order.live.values import OrdersSnapshot, StepTold
from marketd.order.live.watch import watch_orders
from marketd.order.model import OrderState
from marketd.order.values import OrderFilter
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.type.v1 import watch_pb2

from tests.worlds.ordering import Market

Response = order_service_pb2.WatchOrdersResponse
_S = order_pb2.OrderState
PAID, ACCEPTED = order_pb2.ORDER_STATE_PAID, order_pb2.ORDER_STATE_ACCEPTED


@pytest.fixture(autouse=True)
async def running(market: Market) -> AsyncIterator[None]:
    """The worker's tasks, of which the hub is one."""
    async with market.built.running():
        yield


def _watch(market: Market, caller: Caller, resume_token: str = "", **filters: Any) -> AsyncIterator[Response]:
    request = order_service_pb2.WatchOrdersRequest(resume_token=resume_token, **filters)

    async def messages() -> AsyncIterator[Response]:
        calls.enter(Call(caller=caller))
        stream = market.orders.WatchOrders(request, cast(Any, None))
        async for message in stream:
            yield Response.FromString(cast(bytes, message))

    return messages()


async def _next(stream: AsyncIterator[Response], count: int = 1) -> list[Response]:
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


def _told(messages: list[Response]) -> list[tuple[str, str, str]]:
    """What each message is: its name, the order's number and state."""
    told = []
    for message in messages:
        name = str(message.WhichOneof("event"))
        order = getattr(message, name).order
        told.append((name, order.order_number, _S.Name(order.state).removeprefix("ORDER_STATE_")))
    return told


async def _open(stream: AsyncIterator[Response]) -> Response:
    [first] = await _next(stream)
    assert first.HasField("snapshot")
    return first


async def test_buyer_seller_and_admin_get_their_orders_and_every_step_as_it_was(market: Market) -> None:
    buyer, other, shop, rival = await market.buyer(), await market.buyer(), await market.shop(), await market.shop()
    variant = await market.variant(shop)
    before = (await market.paid(buyer, (variant, 2))).orders[0]
    over = (await market.place(buyer, (variant, 1))).orders[0]
    await market.cancel(buyer, over.order_id)
    streams = {
        "buyer": _watch(market, buyer),
        "seller": _watch(market, shop.caller),
        "admin": _watch(market, market.admin),
        "other": _watch(market, other),
        "rival": _watch(market, rival.caller),
    }
    first = {name: await _open(stream) for name, stream in streams.items()}
    for name in ("buyer", "seller", "admin"):
        assert [order.order_id for order in first[name].snapshot.orders] == [before.order_id], "the open ones"
    assert not first["other"].snapshot.orders
    assert not first["rival"].snapshot.orders
    assert first["buyer"].snapshot.orders[0] == await market.get(buyer, before.order_id)
    assert not first["buyer"].snapshot.next_page_token

    await market.accept(shop, before.order_id)
    new = (await market.paid(buyer, (variant, 1))).orders[0]
    theirs = (await market.place(other, (await market.variant(rival), 1))).orders[0]
    mine = [
        ("changed", before.order_number, "ACCEPTED"),
        ("added", new.order_number, "PENDING_PAYMENT"),
        ("changed", new.order_number, "PAID"),
    ]
    placed = ("added", theirs.order_number, "PENDING_PAYMENT")
    got = {name: await _next(stream, {"admin": 4}.get(name, 3 if name in ("buyer", "seller") else 1))
           for name, stream in streams.items()}  # fmt: skip
    assert _told(got["buyer"]) == _told(got["seller"]) == mine
    assert _told(got["admin"]) == [*mine, placed]
    assert _told(got["other"]) == _told(got["rival"]) == [placed]
    assert got["buyer"][1].added.previous_state == got["buyer"][1].added.order.state
    assert got["seller"][2].changed.previous_state == order_pb2.ORDER_STATE_PENDING_PAYMENT
    assert order_pb2.ORDER_ACTION_ACCEPT in got["seller"][2].changed.order.allowed_actions
    assert order_pb2.ORDER_ACTION_ACCEPT not in got["buyer"][2].changed.order.allowed_actions
    assert got["buyer"][2].changed.order == await market.get(buyer, new.order_id)
    assert not got["seller"][0].changed.order.address.phone, "a seller sees what is on a parcel"
    assert got["buyer"][0].changed.order.address.phone
    tokens = [message.resume_token for messages in got.values() for message in messages]
    assert all(tokens)


async def test_filters_narrow_it_and_an_order_that_leaves_them_is_told(market: Market) -> None:
    buyer, shops = await market.buyer(), [await market.shop() for _ in range(2)]
    variants = [await market.variant(shop) for shop in shops]
    by_state = _watch(market, shops[0].caller, states=[PAID])
    by_shop = _watch(market, buyer, seller_ids=[str(shops[1].seller_id)])
    everything = _watch(market, market.admin, buyer_ids=[str(buyer.user_id)], states=[PAID, ACCEPTED])
    for stream in (by_state, by_shop, everything):
        assert not (await _open(stream)).snapshot.orders
    group = await market.paid(buyer, *((variant, 1) for variant in variants))
    one, two = sorted(group.orders, key=lambda order: [shop.seller_id for shop in shops].index(UUID(order.seller_id)))
    await market.accept(shops[0], one.order_id)
    await market.reject(shops[1], two.order_id)
    in_group = _watch(market, buyer, order_group_ids=[group.order_group_id])
    assert [order.order_id for order in (await _open(in_group)).snapshot.orders] == [one.order_id]
    assert _told(await _next(by_state, 2)) == [
        ("added", one.order_number, "PAID"),
        ("removed", one.order_number, "ACCEPTED"),
    ]
    assert _told(await _next(by_shop, 3)) == [
        ("added", two.order_number, "PENDING_PAYMENT"),
        ("changed", two.order_number, "PAID"),
        ("changed", two.order_number, "REJECTED"),
    ]
    told = _told(await _next(everything, 4))
    assert set(told[:2]) == {("added", one.order_number, "PAID"), ("added", two.order_number, "PAID")}
    assert told[2:] == [("changed", one.order_number, "ACCEPTED"), ("removed", two.order_number, "REJECTED")]


async def test_a_stream_resumes_after_any_message_without_gaps_or_repeats_on_any_worker(
    market: Market, other: Market
) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    stream = _watch(market, shop.caller)
    messages = [await _open(stream)]
    for round_ in range(2):
        orders = [(await market.paid(buyer, (variant, 2))).orders[0] for _ in range(2)]
        await market.accept(shop, orders[0].order_id)
        await market.cancel(buyer, orders[1].order_id, (orders[1].items[0].item_id, 1))
        if round_:
            await market.reject(shop, orders[1].order_id)
    messages += await _next(stream, 6 * 2 + 1)
    whole = _told(messages[1:])
    async with other.built.running():
        for place, message in enumerate(messages):
            for worker in (market, other) if place % 4 == 0 else (market,):
                again = _watch(worker, shop.caller, message.resume_token)
                resumed = await _next(again, len(whole) - place)
                assert _told(resumed) == whole[place:]
                assert [each.SerializeToString() for each in (_without_token(one) for one in resumed)] == [
                    each.SerializeToString() for each in (_without_token(one) for one in messages[place + 1 :])
                ], "orders are shown as they were"
        # What comes after the last one comes on the other worker too, where nobody wakes it.
        last = _watch(other, shop.caller, messages[-1].resume_token)
        late = asyncio.create_task(_next(last))
        new = (await market.place(buyer, (variant, 1))).orders[0]
        assert _told(await late) == [("added", new.order_number, "PENDING_PAYMENT")]


def _without_token(message: Response) -> Response:
    bare = Response()
    bare.CopyFrom(message)
    bare.ClearField("resume_token")
    return bare


async def test_what_commits_late_is_not_passed_over(market: Market) -> None:
    """A transaction with a low number commits after one with a high number was told: a cursor would lose it."""
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    slow, quick = [(await market.paid(buyer, (variant, 1))).orders[0] for _ in range(2)]
    stream = _watch(market, shop.caller)
    await _open(stream)
    numbered, go_on = asyncio.Event(), asyncio.Event()

    async def accept_slowly() -> None:
        async with market.tx._engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.execute("BEGIN")
            await driver.execute("SELECT pg_current_xact_id()")
            numbered.set()
            await go_on.wait()
            await driver.execute(
                "UPDATE orders SET version = version + 1, state = 'ACCEPTED' WHERE order_id = $1", UUID(slow.order_id)
            )
            await driver.execute(
                "INSERT INTO order_events (order_id, number, buyer_id, seller_id, occur_time, kind, actor,"
                " previous_state, state) SELECT order_id, version, buyer_id, seller_id, now(), 'ACCEPTED', 'SELLER',"
                " 'PAID', 'ACCEPTED' FROM orders WHERE order_id = $1",
                UUID(slow.order_id),
            )
            await driver.execute("COMMIT")

    late = asyncio.create_task(accept_slowly())
    await numbered.wait()
    await market.accept(shop, quick.order_id)
    [first] = await _next(stream)
    assert _told([first]) == [("changed", quick.order_number, "ACCEPTED")]
    go_on.set()
    await late
    assert _told(await _next(stream)) == [("changed", slow.order_number, "ACCEPTED")]
    # Nor is it to whoever left before it was committed.
    assert _told(await _next(_watch(market, shop.caller, first.resume_token))) == [
        ("changed", slow.order_number, "ACCEPTED")
    ]


async def test_a_snapshot_ends_at_a_hundred_and_the_list_goes_on_behind_it(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    order = (await market.place(buyer, (await market.variant(shop), 1))).orders[0]
    for place in range(104):
        await market.execute(
            "INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('order_id',"
            " overlay(o.order_id::text placing lpad(to_hex($2::int), 4, '0') from 33 for 4),"
            " 'order_number', 'N' || $2::int))).* FROM orders o WHERE order_id = $1",
            UUID(order.order_id),
            place,
        )
    snapshot = (await _open(_watch(market, buyer))).snapshot
    shown = [each.order_id for each in snapshot.orders]
    assert len(shown) == 100
    assert shown == sorted(shown, reverse=True)
    open_states = [number for number in _S.values() if 1 <= number <= 5]
    request = order_service_pb2.ListOrdersRequest(states=open_states, page_token=snapshot.next_page_token)
    page = await market.call(buyer, market.orders.ListOrders, request)
    rest = [each.order_id for each in page.orders]
    assert len(rest) == 5
    assert shown + rest == sorted(shown + rest, reverse=True)


async def test_tokens_of_no_use_reset_and_start_over(market: Market) -> None:
    buyer, stranger, shop = await market.buyer(), await market.buyer(), await market.shop()
    order = (await market.paid(buyer, (await market.variant(shop), 1))).orders[0]
    token = (await _open(_watch(market, buyer))).resume_token
    unknown, too_old = watch_pb2.STREAM_RESET_REASON_TOKEN_UNKNOWN, watch_pb2.STREAM_RESET_REASON_TOKEN_TOO_OLD
    await market.accept(shop, order.order_id)
    for caller, given, filters in (
        (stranger, token, {}),
        (market.admin, token, {}),
        (buyer, "nonsense", {}),
        (buyer, token[:-2] + "xx", {}),
        (buyer, token, {"states": [PAID]}),
    ):
        stream = _watch(market, caller, given, **filters)
        [reset, snapshot] = await _next(stream, 2)
        assert reset.reset.reason == unknown
        assert reset.reset.message
        assert not reset.resume_token, "whoever leaves now has not seen the snapshot"
        assert snapshot.HasField("snapshot")
        assert snapshot.resume_token
    market.clock.ahead = timedelta(hours=23)
    assert _told(await _next(_watch(market, buyer, token))) == [("changed", order.order_number, "ACCEPTED")]
    market.clock.ahead = timedelta(hours=25)
    [reset, snapshot] = await _next(_watch(market, buyer, token), 2)
    assert reset.reset.reason == too_old
    assert [each.order_id for each in snapshot.snapshot.orders] == [order.order_id]


async def test_a_token_of_a_database_that_was_restored_is_told_apart(market: Market) -> None:
    """The copy's transactions are counted from a lower number on than the token knows."""
    buyer, shop = await market.buyer(), await market.shop()
    await market.place(buyer, (await market.variant(shop), 1))
    places = market.orders._places
    context = context_of(order_service_pb2.WatchOrdersRequest(), buyer)
    ahead = places.token(Place(Horizon(1 << 40), market.clock.now()), context).decode()
    [reset, snapshot] = await _next(_watch(market, buyer, ahead), 2)
    assert reset.reset.reason == watch_pb2.STREAM_RESET_REASON_EVENTS_LOST
    assert len(snapshot.snapshot.orders) == 1


async def test_silence_is_filled_with_heartbeats_that_can_be_resumed_from_and_nothing_is_left_behind(
    market: Market,
) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    feed = Feed(LocalBroadcast())
    hub = OrderHub(market.tx, feed, poll_seconds=0.02)
    task = asyncio.create_task(hub.run())
    stream = watch_orders(market.tx, hub, market.clock, buyer, OrderFilter(), None, beat_seconds=0.05)
    async with asyncio.timeout(10):
        assert isinstance((await anext(stream))[1], OrdersSnapshot)
        places = []
        for _ in range(3):
            place, beat = await anext(stream)
            assert isinstance(beat, Beat)
            places.append(place)
        order = (await market.place(buyer, (variant, 1))).orders[0]
        for place in places:
            assert place is not None
            again = watch_orders(market.tx, hub, market.clock, buyer, OrderFilter(), place)
            told = (await anext(again))[1]
            assert isinstance(told, StepTold)
            assert str(told.step.order.order_id) == order.order_id
            await again.aclose()
        await stream.aclose()
    assert not hub.is_occupied
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not feed.watches
    assert not feed.open


async def test_a_slow_watcher_falls_behind_and_still_gets_everything(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "MAX_QUEUED", 3)
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    stream = _watch(market, shop.caller)
    await _open(stream)
    orders = [(await market.paid(buyer, (variant, 1))).orders[0] for _ in range(6)]
    for order in orders:
        await market.accept(shop, order.order_id)
    told = _told(await _next(stream, 18))
    expected = [("added", order.order_number, "PENDING_PAYMENT") for order in orders]
    assert [each for each in told if each[0] == "added"] == expected
    assert {each[1:] for each in told if each[0] == "changed"} == {
        (order.order_number, state) for order in orders for state in ("PAID", "ACCEPTED")
    }
    assert len(told) == len(set(told))


async def test_a_burst_that_is_more_than_the_hub_reads_at_once_reaches_everybody(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "MAX_READ", 4)
    buyer, shop = await market.buyer(), await market.shop()
    variants = [await market.variant(shop) for _ in range(5)]
    stream = _watch(market, buyer)
    await _open(stream)
    numbers = []
    for variant in variants:
        numbers.append((await market.paid(buyer, (variant, 1))).orders[0].order_number)
    told = _told(await _next(stream, 10))
    assert [number for name, number, _ in told if name == "added"] == numbers
    assert [number for name, number, _ in told if name == "changed"] == numbers


async def test_one_read_serves_all_watchers_and_what_they_see_alike_is_made_once(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    change = convert._change

    def counted(way: Any, step: Any, caller: Caller) -> Response:
        made.append(step.event.state.value)
        return change(way, step, caller)

    monkeypatch.setattr(convert, "_change", counted)
    buyer, shop = await market.buyer(), await market.shop()
    order = (await market.paid(buyer, (await market.variant(shop), 1))).orders[0]
    streams = [_watch(market, shop.caller) for _ in range(20)]
    for stream in streams:
        await _open(stream)
    await market.accept(shop, order.order_id)
    for stream in streams:
        assert _told(await _next(stream)) == [("changed", order.order_number, "ACCEPTED")]
    assert made == ["ACCEPTED"]


async def test_nobody_is_told_of_orders_that_are_a_strangers_also_by_their_filters(market: Market) -> None:
    buyer, stranger, shop = await market.buyer(), await market.buyer(), await market.shop()
    group = await market.paid(buyer, (await market.variant(shop), 1))
    mine = (await market.place(stranger, (await market.variant(await market.shop()), 1))).orders[0]
    stream = _watch(market, stranger, seller_ids=[str(shop.seller_id), mine.seller_id])
    assert [order.order_id for order in (await _open(stream)).snapshot.orders] == [mine.order_id]
    await market.accept(shop, group.orders[0].order_id)
    await market.cancel(stranger, mine.order_id)
    assert _told(await _next(stream)) == [("changed", mine.order_number, "CANCELLED")]


async def test_the_states_of_open_orders_are_those_that_the_contract_names() -> None:
    comment = "PENDING_PAYMENT, PAID, ACCEPTED, READY, OUT_FOR_DELIVERY"
    assert ", ".join(state.value for state in OrderState if not state.is_over) == comment
