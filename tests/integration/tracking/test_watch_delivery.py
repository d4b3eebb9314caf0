"""WatchDelivery on a real database: who sees what, in which order, over reconnects and across workers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from marketd.delivery.model import DeliveryState
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.tracking.errors import StreamSuperseded
from marketd.tracking.values import Fix
from marketd.tracking.watch.follow import read_watched
from marketd.tracking.watch.watcher import NO_POSITION, Watcher
from marketplace.delivery.v1 import delivery_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2, watch_pb2
from marketplace.type.v1.watch_pb2 import (
    STREAM_RESET_REASON_EVENTS_LOST,
    STREAM_RESET_REASON_TOKEN_TOO_OLD,
    STREAM_RESET_REASON_TOKEN_UNKNOWN,
)

if TYPE_CHECKING:
    from tests.worlds.tracking import Worker, World
    from tests.worlds.tracking_clients import Watching

PICKUP, DROPOFF = (52.53, 13.4), (52.54, 13.41)


def now() -> float:
    return SystemClock().now().timestamp()


def position(seq: int, at: float, place: tuple[float, float] = PICKUP) -> position_pb2.Position:
    made = position_pb2.Position(seq=seq, accuracy_meters=5)
    made.sample_time.FromMicroseconds(round(at * 1_000_000))
    made.point.latitude, made.point.longitude = place
    return made


def times_of(watching: Watching) -> list[int]:
    return [message.position.sample_time.ToMicroseconds() for message in watching.of("position")]


async def test_a_buyer_sees_the_way_from_pickup_to_close_and_the_stream_ends_well(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    buyer, seller = (
        worker.watch(bringing.buyer, bringing.delivery_id),
        worker.watch(bringing.seller, bringing.delivery_id),
    )
    snapshot = (await buyer.got("snapshot")).snapshot
    assert snapshot.state == delivery_pb2.DELIVERY_STATE_ASSIGNED
    assert (snapshot.courier.first_name, snapshot.courier.courier_id) == ("Noor", str(courier_id))
    assert not snapshot.HasField("position")
    await seller.got("snapshot")

    uplink, start = worker.uplink(courier), now() - 30
    uplink.hello(new_id())
    uplink.batch([position(1, start)])
    await seller.got("position")
    await uplink.acked(1)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    change = (await buyer.got("state_change")).state_change
    assert change.previous_state == delivery_pb2.DELIVERY_STATE_ASSIGNED
    assert change.state == delivery_pb2.DELIVERY_STATE_PICKED_UP
    assert change.courier.first_name == "Noor"
    for seq in range(2, 12):
        uplink.batch([position(seq, start + seq)])
        await buyer.got("position", seq - 1)
    assert (await buyer.got("eta")).eta.eta.expected_time.seconds > now()

    await world.step(bringing.delivery_id, DeliveryState.CLOSED)
    for watching in (buyer, seller):
        await watching.ended()
        assert watching.kinds()[-1] == "state_change"
        assert watching.messages[-1].state_change.state == delivery_pb2.DELIVERY_STATE_CLOSED
        assert watching.messages[-1].state_change.outcome == delivery_pb2.DELIVERY_OUTCOME_DELIVERED
        assert times_of(watching) == sorted(set(times_of(watching)))
        assert all(message.resume_token for message in watching.messages)
    # What was received before the pickup was never the buyer's.
    assert [message.position.seq for message in buyer.of("position")] == list(range(2, 12))
    assert seller.of("position")[0].position.seq == 1

    late = worker.watch(bringing.buyer, bringing.delivery_id)
    await late.ended()
    assert late.kinds() == ["snapshot"]
    assert not late.messages[0].snapshot.HasField("position")


async def test_a_watcher_who_comes_later_finds_the_position_in_the_snapshot(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    await worker.report(courier, new_id(), [position(7, now() - 2)])
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    assert (await watching.got("snapshot")).snapshot.position.seq == 7


@pytest.mark.parametrize("role", [Role.BUYER, Role.SELLER, Role.COURIER])
async def test_somebody_elses_delivery_is_not_found(world: World, worker: Worker, role: Role) -> None:
    _, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    stranger = Caller(new_id(), new_id(), frozenset({role}))
    for delivery_id in (bringing.delivery_id, new_id()):
        with pytest.raises(NotFound):
            await worker.watch(stranger, delivery_id).ended()
    admin = Caller(new_id(), new_id(), frozenset({Role.ADMIN}))
    await worker.watch(admin, bringing.delivery_id).got("snapshot")


async def test_arrivals_and_departures_are_told_once_and_the_states_follow(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    await watching.got("snapshot")
    start, uplink_id = now() - 1800, new_id()
    away = (PICKUP[0] + 0.003, PICKUP[1])
    await worker.report(courier, uplink_id, [position(seq, start + 5 * seq) for seq in range(1, 10)])
    arrived = (await watching.got("stop_event")).stop_event
    assert (arrived.stop, arrived.event) == (delivery_pb2.STOP_KIND_PICKUP, watch_pb2.STOP_EVENT_ARRIVED)
    assert arrived.occurred_time.seconds == int(start + 5)
    change = (await watching.got("state_change")).state_change
    assert change.state == delivery_pb2.DELIVERY_STATE_AT_PICKUP
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    await watching.got("state_change", 2)
    # The report before has ended, so this one starts from what the database knows of the trip.
    await worker.report(courier, uplink_id, [position(seq, start + 100 + 5 * seq, away) for seq in range(10, 20)])
    departed = (await watching.got("stop_event", 2)).stop_event
    assert (departed.stop, departed.event) == (delivery_pb2.STOP_KIND_PICKUP, watch_pb2.STOP_EVENT_DEPARTED)
    await worker.report(courier, uplink_id, [position(seq, start + 600 + 5 * seq, DROPOFF) for seq in range(20, 30)])
    arrived = (await watching.got("stop_event", 3)).stop_event
    assert (arrived.stop, arrived.event) == (delivery_pb2.STOP_KIND_DROPOFF, watch_pb2.STOP_EVENT_ARRIVED)
    await watching.got("state_change", 3)
    await world.step(bringing.delivery_id, DeliveryState.CLOSED)
    await watching.ended()
    assert len(watching.of("stop_event")) == 3


async def test_a_resumed_watch_misses_no_event_and_tells_none_twice(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery()
    first = worker.watch(bringing.buyer, bringing.delivery_id)
    snapshot = await first.got("snapshot")
    assert snapshot.snapshot.state == delivery_pb2.DELIVERY_STATE_CREATED
    assert not snapshot.snapshot.HasField("courier")
    await world.step(bringing.delivery_id, DeliveryState.ASSIGNED, courier_id)
    await first.got("state_change")
    await first.drop()
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    await worker.report(courier, new_id(), [position(1, now() - 5)])

    second = worker.watch(bringing.buyer, bringing.delivery_id, resume_token=first.resume_token)
    await second.got("state_change")
    assert second.kinds()[:2] == ["snapshot", "state_change"]
    assert second.messages[0].snapshot.position.seq == 1
    assert second.messages[1].state_change.state == delivery_pb2.DELIVERY_STATE_PICKED_UP
    await second.drop()

    # The snapshot's own token stands before what was missed: a cut right after it loses nothing.
    third = worker.watch(bringing.buyer, bringing.delivery_id, resume_token=second.messages[0].resume_token)
    await third.got("state_change")
    await third.drop()
    await world.step(bringing.delivery_id, DeliveryState.CLOSED)
    fourth = worker.watch(bringing.buyer, bringing.delivery_id, resume_token=third.resume_token)
    await fourth.ended()
    assert fourth.messages[-1].state_change.state == delivery_pb2.DELIVERY_STATE_CLOSED


async def test_a_snapshot_has_no_position_older_than_the_resume_token_stands_for(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    await worker.report(courier, new_id(), [position(1, now() - 60)])
    seen_micros = round((now() - 30) * 1_000_000)
    token = worker.resume.issue(bringing.delivery_id.bytes, 3, seen_micros, round(now())).decode()
    watching = worker.watch(bringing.buyer, bringing.delivery_id, resume_token=token)
    assert not (await watching.got("snapshot")).snapshot.HasField("position")
    await worker.report(courier, new_id(), [position(1, now() - 45)])
    await worker.report(courier, new_id(), [position(1, now() - 3)])
    await watching.got("position")
    assert len(watching.of("position")) == 1
    assert times_of(watching)[0] > seen_micros


async def test_a_token_of_no_use_gets_a_reset_and_a_snapshot(world: World, worker: Worker) -> None:
    _, courier_id = await world.courier()
    bringing, seconds = await world.delivery(courier_id), round(now())
    own = bringing.delivery_id.bytes
    old = worker.resume.issue(own, 1, NO_POSITION, seconds - 25 * 3600).decode()
    foreign = worker.resume.issue(new_id().bytes, 1, NO_POSITION, seconds).decode()
    future = worker.resume.issue(own, 99, NO_POSITION, seconds).decode()
    for token, reason in (
        (old, STREAM_RESET_REASON_TOKEN_TOO_OLD),
        (foreign, STREAM_RESET_REASON_TOKEN_UNKNOWN),
        (future, STREAM_RESET_REASON_TOKEN_UNKNOWN),
        ("nonsense", STREAM_RESET_REASON_TOKEN_UNKNOWN),
    ):
        watching = worker.watch(bringing.buyer, bringing.delivery_id, resume_token=token)
        await watching.got("snapshot")
        assert watching.kinds() == ["reset", "snapshot"]
        assert watching.messages[0].reset.reason == reason
        assert watching.messages[0].reset.message
    await world.tx.run("test.lose", lambda uow: uow.connection.execute("DELETE FROM outbox_events WHERE seq = 2"))
    fresh = worker.resume.issue(own, 1, NO_POSITION, seconds).decode()
    watching = worker.watch(bringing.buyer, bringing.delivery_id, resume_token=fresh)
    await watching.got("snapshot")
    assert watching.messages[0].reset.reason == STREAM_RESET_REASON_EVENTS_LOST


async def test_a_delivery_that_will_be_late_is_told_once(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    await watching.got("snapshot")
    far, uplink_id = (52.9, 13.4), new_id()
    await worker.report(courier, uplink_id, [position(1, now() - 9, far)])
    late = (await watching.got("late")).late
    assert late.delay.seconds > 60
    assert late.due_time.seconds < late.eta.expected_time.seconds
    await worker.report(courier, uplink_id, [position(2, now() - 1, far)])
    await watching.drop()
    again = worker.watch(bringing.buyer, bringing.delivery_id)
    assert (await again.got("snapshot")).snapshot.late


async def test_a_watcher_with_a_rate_is_spared_positions_and_gets_the_newest(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    slow = worker.watch(bringing.buyer, bringing.delivery_id, max_rate_hz=4)
    fast = worker.watch(bringing.buyer, bringing.delivery_id)
    await slow.got("snapshot")
    await fast.got("snapshot")
    uplink, start = worker.uplink(courier), now() - 50
    uplink.hello(new_id())
    for seq in range(1, 41):
        uplink.batch([position(seq, start + seq)])
        await fast.got("position", seq)
    await slow.position(40)
    assert len(slow.of("position")) < 20


async def test_a_heartbeat_comes_when_it_is_time(world: World, quick_heart: Worker) -> None:
    _, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    begun = time.monotonic()
    watching = quick_heart.watch(bringing.buyer, bringing.delivery_id)
    beat = await watching.got("heartbeat", 4)
    # A tenth of a second apart here, and no closer.
    assert time.monotonic() - begun >= 0.39
    assert watching.kinds()[:3] == ["snapshot", "heartbeat", "heartbeat"]
    assert beat.heartbeat.server_time.seconds > 0
    assert beat.resume_token


async def test_two_workers_on_one_database_deliver_to_each_other(world: World, workers: list[Worker]) -> None:
    one, other = workers
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    watching = [worker.watch(bringing.buyer, bringing.delivery_id) for worker in workers]
    for watcher in watching:
        await watcher.got("snapshot")
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    for watcher in watching:
        await watcher.got("state_change")
    uplink, start = one.uplink(courier), now() - 30
    uplink.hello(new_id())
    for seq in range(1, 11):
        uplink.batch([position(seq, start + seq)])
        for watcher in watching:
            await watcher.position(seq)

    # A newer stream on the other worker ends the older one on this.
    newer = other.uplink(courier)
    newer.hello(new_id())
    with pytest.raises(StreamSuperseded):
        await asyncio.wait_for(uplink.task, 5)
    newer.batch([position(12, start + 20)])
    for watcher in watching:
        await watcher.position(12)
    await newer.acked(12)
    await world.step(bringing.delivery_id, DeliveryState.CLOSED)
    for watcher in watching:
        await watcher.ended()
        assert times_of(watcher) == sorted(set(times_of(watcher)))


async def test_the_same_positions_through_two_workers_at_once_are_stored_once(
    world: World, workers: list[Worker]
) -> None:
    courier, courier_id = await world.courier()
    uplink_id, start = new_id(), now() - 600
    positions = [position(seq, start + seq) for seq in range(1, 501)]
    positions[100].point.latitude = 91
    acks = await asyncio.gather(
        *(
            worker.report(courier, uplink_id, positions[first : first + 300])
            for first in (0, 50, 100, 150, 200)
            for worker in workers
        )
    )
    assert await world.stored(courier_id) == [seq for seq in range(1, 501) if seq != 101]
    for ack in acks[:6]:
        assert [entry.seq for entry in ack.rejected] == [101]


async def test_a_watcher_who_comes_while_the_last_one_leaves_is_still_told(world: World, worker: Worker) -> None:
    _, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    seq, watched, audience = await worker.tx.read(lambda unit: read_watched(unit, bringing.buyer, bringing.delivery_id))
    channel = await worker.hub.follow(bringing.delivery_id, watched, seq)
    leaving = Watcher(bringing.buyer, audience, max_rate_hz=0, after_micros=NO_POSITION)
    worker.hub.join(channel, leaving)
    # As if another worker's event was not heard of here yet: the one who comes has the channel catch up first.
    coming = asyncio.create_task(worker.hub.follow(bringing.delivery_id, watched, seq + 1))
    await asyncio.sleep(0)
    worker.hub.leave(channel, leaving)
    found = await coming
    watcher = Watcher(bringing.buyer, audience, max_rate_hz=0, after_micros=NO_POSITION)
    worker.hub.join(found, watcher)
    at = worker.hub.now_micros
    worker.hub.moved(courier_id, Fix(1, at, at, Point(*PICKUP), 5.0, None, None))
    async with asyncio.timeout(5):
        frame, _ = await watcher.next()
    assert tracking_service_pb2.WatchDeliveryResponse.FromString(frame).position.seq == 1
    worker.hub.leave(found, watcher)
