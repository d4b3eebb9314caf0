"""What a courier's device sees: a snapshot, then everything in order, and after a break exactly what it missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.events.watch import ResumeTokens
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.type.v1 import watch_pb2

from tests.worlds.goods import MovableClock
from tests.worlds.parts import make_settings

if TYPE_CHECKING:
    from marketplace.delivery.v1.delivery_service_pb2 import WatchDeliveriesResponse

    from tests.worlds.delivery import World


class Seen:
    """The messages of one open stream."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[WatchDeliveriesResponse] = asyncio.Queue()

    def add(self, message: WatchDeliveriesResponse) -> None:
        """Take a message in."""
        self._queue.put_nowait(message)

    async def next(self, kind: str) -> WatchDeliveriesResponse:
        """The next message that is no heartbeat, which has to be of this kind; or the next heartbeat."""
        async with asyncio.timeout(5):
            while True:
                message = await self._queue.get()
                event = message.WhichOneof("event")
                if event == kind:
                    return message
                assert event == "heartbeat", f"{event} came before {kind}"


@asynccontextmanager
async def watching(world: World, caller: Caller, resume_token: str = "") -> AsyncIterator[Seen]:
    """An open WatchDeliveries, read by a task of its own."""
    seen = Seen()

    async def read() -> None:
        calls.enter(Call(caller=caller))
        request = delivery_service_pb2.WatchDeliveriesRequest(resume_token=resume_token)
        async for message in world.deliveries.WatchDeliveries(request, None):  # type: ignore[arg-type]
            seen.add(message)

    task = asyncio.create_task(read())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert not world.feed.open, "a stream that ended watches no more"


async def test_the_stream_tells_what_is_assigned_changed_and_removed(world: World) -> None:
    ready, (courier, courier_id) = await world.ready(), await world.courier()
    async with watching(world, courier) as seen:
        assert list((await seen.next("snapshot")).snapshot.deliveries) == []
        await world.assign(ready.delivery_id, courier_id)
        assigned = (await seen.next("assigned")).assigned.delivery
        assert assigned.delivery_id == str(ready.delivery_id)
        assert assigned.dropoff.address.phone == "+4930222"
        assert assigned.dropoff_code == ""
        await world.pick_up(courier, ready.delivery_id)
        changed = (await seen.next("changed")).changed
        assert changed.previous_state == delivery_pb2.DELIVERY_STATE_ASSIGNED
        assert changed.delivery.state == delivery_pb2.DELIVERY_STATE_PICKED_UP
        await world.complete(courier, ready.delivery_id, await world.code(ready))
        removed = (await seen.next("removed")).removed
        assert removed.delivery_id == str(ready.delivery_id)
        assert removed.reason == delivery_service_pb2.DELIVERY_REMOVAL_REASON_CLOSED


async def test_a_cancelled_order_takes_its_delivery_away(world: World) -> None:
    ready, courier, _ = await world.assigned()
    async with watching(world, courier) as seen:
        held = (await seen.next("snapshot")).snapshot.deliveries
        assert [delivery.delivery_id for delivery in held] == [str(ready.delivery_id)]
        await world.cancel(ready)
        await world.hand_on()
        removed = (await seen.next("removed")).removed
        assert removed.reason == delivery_service_pb2.DELIVERY_REMOVAL_REASON_CANCELLED


async def test_a_resumed_stream_tells_exactly_what_was_missed(world: World) -> None:
    first, courier, courier_id = await world.assigned()
    async with watching(world, courier) as seen:
        cursor = (await seen.next("snapshot")).resume_token
    second = await world.ready()
    await world.pick_up(courier, first.delivery_id)
    await world.assign(second.delivery_id, courier_id)
    await world.complete(courier, first.delivery_id, await world.code(first))
    async with watching(world, courier, cursor) as seen:
        changed = await seen.next("changed")
        assert changed.changed.delivery.state == delivery_pb2.DELIVERY_STATE_PICKED_UP
        assert changed.changed.delivery.outcome == delivery_pb2.DELIVERY_OUTCOME_UNSPECIFIED
        # It is over by now, and an old token opens no door again.
        assert not changed.changed.delivery.dropoff.HasField("address")
        assert not changed.changed.delivery.pickup.HasField("address")
        assert (await seen.next("assigned")).assigned.delivery.delivery_id == str(second.delivery_id)
        assert (await seen.next("removed")).removed.delivery_id == str(first.delivery_id)
    async with watching(world, courier, changed.resume_token) as seen:
        assert (await seen.next("assigned")).assigned.delivery.delivery_id == str(second.delivery_id)
        latest = (await seen.next("removed")).resume_token
    async with watching(world, courier, latest) as seen:
        assert (await seen.next("heartbeat")).heartbeat.HasField("server_time")


async def test_a_token_that_cannot_be_resumed_gets_a_reset_and_a_snapshot(world: World) -> None:
    ready, courier, courier_id = await world.assigned()
    clock = MovableClock()
    clock.ahead = -timedelta(hours=25)
    tokens = ResumeTokens(make_settings().derive("delivery-watches"), "delivery-watch", clock)
    old = tokens.token(courier_id.bytes, 1)
    other, _ = await world.courier()
    async with watching(world, other) as seen:
        foreign = (await seen.next("snapshot")).resume_token
    async with watching(world, courier) as seen:
        swept = (await seen.next("snapshot")).resume_token
    await world.pick_up(courier, ready.delivery_id)
    await world.tx.run("test.sweep", lambda uow: uow.connection.execute("DELETE FROM outbox_events"))
    for token, reason in (
        ("garbage", watch_pb2.STREAM_RESET_REASON_TOKEN_UNKNOWN),
        (foreign, watch_pb2.STREAM_RESET_REASON_TOKEN_UNKNOWN),
        (old, watch_pb2.STREAM_RESET_REASON_TOKEN_TOO_OLD),
        (swept, watch_pb2.STREAM_RESET_REASON_EVENTS_LOST),
    ):
        async with watching(world, courier, token) as seen:
            reset = await seen.next("reset")
            assert (reset.reset.reason, bool(reset.reset.message)) == (reason, True)
            held = (await seen.next("snapshot")).snapshot.deliveries
            assert [delivery.state for delivery in held] == [delivery_pb2.DELIVERY_STATE_PICKED_UP]
    # Cut between the two: the snapshot is told again, or what it shows would be missed.
    async with watching(world, courier, reset.resume_token) as seen:
        await seen.next("reset")
        await seen.next("snapshot")


async def test_who_applied_anew_begins_anew_with_a_token_of_before(world: World) -> None:
    caller, courier_id = await world.courier(on_shift=False)
    async with watching(world, caller) as seen:
        before = (await seen.next("snapshot")).resume_token
    await world.move(caller, "Close", "me")
    again = await world.applied(caller)
    await world.move(world.admin, "Approve", again[1].courier_id)
    async with watching(world, caller, before) as seen:
        assert (await seen.next("reset")).reset.reason == watch_pb2.STREAM_RESET_REASON_TOKEN_UNKNOWN
        assert not (await seen.next("snapshot")).snapshot.deliveries
    assert again[1].courier_id != str(courier_id)


async def test_an_account_without_a_courier_has_nothing_to_watch(world: World) -> None:
    caller = await world.account(Role.COURIER)
    calls.enter(Call(caller=caller))
    stream = world.deliveries.WatchDeliveries(delivery_service_pb2.WatchDeliveriesRequest(), None)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await anext(stream)
