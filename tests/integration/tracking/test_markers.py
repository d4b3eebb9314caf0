"""Where the live marker stands: over calls of one position each, on whatever worker they land, and for watchers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from marketd.delivery import service as delivery
from marketd.delivery.model import DeliveryState
from marketd.kernel.call.caller import Caller
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.tracking.uplink.judge import Rejection
from marketplace.delivery.v1 import delivery_pb2
from marketplace.tracking.v1 import position_pb2, watch_pb2

from tests.worlds.tracking_clients import DROPOFF, PICKUP, now_seconds, position

if TYPE_CHECKING:
    from tests.worlds.tracking import Bringing, Worker, World

NO_SATELLITE = Point(0.0, 0.0)
FLIPPED = [
    Point(PICKUP.longitude, PICKUP.latitude),
    Point(-PICKUP.latitude, PICKUP.longitude),
    Point(PICKUP.latitude, -PICKUP.longitude),
]


async def riding(world: World) -> tuple[Caller, UUID, Bringing]:
    """A courier who has picked a delivery up."""
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    return courier, courier_id, bringing


async def marker_seq(world: World, courier_id: UUID) -> int | None:
    """The number of the position at which the stored marker stands."""
    found = await world.tx.read(lambda unit: delivery.read_latest_position(unit, courier_id))
    return found.seq if found is not None else None


async def report_one_by_one(
    workers: Sequence[Worker], courier: Caller, uplink_id: UUID, positions: Sequence[position_pb2.Position]
) -> None:
    """A call for each position, each on the next worker."""
    for index, one in enumerate(positions):
        await workers[index % len(workers)].report(courier, uplink_id, [one])


@pytest.mark.parametrize("wild", [NO_SATELLITE, FLIPPED[0]], ids=["no satellite", "flipped"])
async def test_a_wild_first_fix_is_left_with_the_second_good_one_though_each_call_lands_elsewhere(
    world: World, workers: list[Worker], wild: Point
) -> None:
    courier, courier_id, bringing = await riding(world)
    watching = [worker.watch(bringing.buyer, bringing.delivery_id) for worker in workers]
    for watcher in watching:
        await watcher.got("snapshot")  # one that is taken later has the positions in it, and none follows
    uplink_id, start = new_id(), now_seconds() - 10
    first = [position(1, start, wild), position(2, start + 1)]
    await report_one_by_one(workers, courier, uplink_id, first)
    assert await marker_seq(world, courier_id) == 1
    await report_one_by_one(workers, courier, uplink_id, [position(3, start + 2)])
    assert await marker_seq(world, courier_id) == 3
    for watcher in watching:
        await watcher.position(3)
    # The fourth call is on the worker that has not heard of the third.
    await report_one_by_one(workers[1:], courier, uplink_id, [position(4, start + 3)])
    assert await marker_seq(world, courier_id) == 4


async def test_inaccurate_fixes_confirm_each_other_over_calls_before_there_is_any_marker(
    world: World, workers: list[Worker]
) -> None:
    courier, courier_id, _ = await riding(world)
    uplink_id, start = new_id(), now_seconds() - 1000
    blurred = [position(seq, start + 300 * seq, accuracy=400.0) for seq in (1, 2, 3)]
    await report_one_by_one(workers, courier, uplink_id, blurred[:1])
    assert await marker_seq(world, courier_id) is None
    await report_one_by_one(workers, courier, uplink_id, blurred[1:])
    assert await marker_seq(world, courier_id) == 2


async def test_a_leap_is_confirmed_by_the_next_call_however_much_was_reported_before(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    uplink_id, start = new_id(), now_seconds() - 60
    await worker.report(courier, uplink_id, [position(seq, start + seq) for seq in range(1, 41)])
    for seq in (41, 42):
        await worker.report(courier, uplink_id, [position(seq, start + seq, DROPOFF)])
    assert await marker_seq(world, courier_id) == 42


async def test_a_leap_that_was_reported_is_confirmed_by_a_stream_on_another_worker(
    world: World, workers: list[Worker]
) -> None:
    courier, courier_id, _ = await riding(world)
    uplink_id, start = new_id(), now_seconds() - 20
    ride = [position(seq, start + seq) for seq in range(1, 5)]
    await workers[0].report(courier, uplink_id, [*ride, position(5, start + 5, Point(52.9, 13.4))])
    assert await marker_seq(world, courier_id) == 4
    uplink = workers[1].uplink(courier)
    uplink.hello(uplink_id, last_acked_seq=5)
    uplink.batch([position(6, start + 6, Point(52.9, 13.4))])
    await uplink.acked(6)
    assert await marker_seq(world, courier_id) == 6


@pytest.mark.parametrize("wild", [NO_SATELLITE, *FLIPPED], ids=str)
async def test_flipped_fixes_in_one_call_do_not_move_the_marker(world: World, worker: Worker, wild: Point) -> None:
    courier, courier_id, bringing = await riding(world)
    uplink_id, start = new_id(), now_seconds() - 30
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    await worker.report(courier, uplink_id, [position(1, start)])
    await worker.report(courier, uplink_id, [position(seq, start + seq, wild) for seq in range(2, 8)])
    assert await marker_seq(world, courier_id) == 1
    await worker.report(courier, uplink_id, [position(8, start + 8)])
    assert await marker_seq(world, courier_id) == 8
    # In a message that leaves them again they do not, whatever came before, and the same on a stream.
    uplink = worker.uplink(courier)
    uplink.hello(uplink_id)
    uplink.batch([position(9, start + 9, wild)])
    uplink.batch([*(position(seq, start + seq, wild) for seq in range(10, 13)), position(13, start + 13)])
    await uplink.acked(13)
    await watching.position(13)
    assert {(shown.position.point.latitude, shown.position.point.longitude) for shown in watching.of("position")} == {
        (PICKUP.latitude, PICKUP.longitude)
    }


@pytest.mark.parametrize("is_streamed", [False, True], ids=["reports", "stream"])
async def test_one_sample_of_a_fast_clock_does_not_freeze_the_marker(
    world: World, workers: list[Worker], *, is_streamed: bool
) -> None:
    courier, courier_id, bringing = await riding(world)
    watching = [worker.watch(bringing.buyer, bringing.delivery_id) for worker in workers]
    for watcher in watching:
        await watcher.got("snapshot")
    uplink_id = new_id()
    uplink = workers[0].uplink(courier) if is_streamed else None
    if uplink is not None:
        uplink.hello(uplink_id)
    for seq in range(1, 6):
        ahead = 50 if seq == 2 else 0
        one = position(seq, now_seconds() + ahead, Point(PICKUP.latitude + seq * 1e-5, PICKUP.longitude))
        if uplink is not None:
            uplink.batch([one])
            await uplink.acked(seq)
        else:
            await report_one_by_one([workers[seq % 2]], courier, uplink_id, [one])
        for watcher in watching:
            await watcher.position(seq)
    for watcher in watching:
        times = [shown.position.sample_time.ToMicroseconds() for shown in watcher.of("position")]
        assert times == sorted(set(times))
        assert max(times) <= now_seconds() * 1_000_000
    # The device's own time is kept with the point.
    assert await world.tx.read(
        lambda unit: unit.connection.fetchval(
            "SELECT sample_time - receive_time > $2 FROM position_points WHERE courier_id = $1 AND seq = 2",
            courier_id,
            timedelta(seconds=45),
        )
    )
    # Who comes back with a token of the fast sample's message is shown what is newer, as before.
    fast = next(shown for shown in watching[0].of("position") if shown.position.seq == 2)
    again = workers[1].watch(bringing.buyer, bringing.delivery_id, resume_token=fast.resume_token)
    assert (await again.got("snapshot")).snapshot.position.seq == 5


async def test_arrivals_are_told_once_when_every_fix_is_a_call_on_another_worker(
    world: World, workers: list[Worker]
) -> None:
    courier, _, bringing = await riding(world)
    watching = workers[0].watch(bringing.buyer, bringing.delivery_id)
    await watching.got("snapshot")
    uplink_id, start = new_id(), now_seconds() - 60
    fixes = [position(seq, start + 3 * seq, DROPOFF) for seq in range(1, 9)]
    await report_one_by_one(workers, courier, uplink_id, fixes)
    arrived = (await watching.got("stop_event")).stop_event
    assert (arrived.stop, arrived.event) == (delivery_pb2.STOP_KIND_DROPOFF, watch_pb2.STOP_EVENT_ARRIVED)
    assert arrived.occurred_time.ToMicroseconds() == fixes[0].sample_time.ToMicroseconds()
    await watching.position(8)
    assert len(watching.of("stop_event")) == 1
    # One estimate for the place where the courier stands; a call has no reason to tell it anew.
    assert len(watching.of("eta")) <= 2


async def test_what_a_device_does_not_know_is_stored_as_unknown(world: World, worker: Worker) -> None:
    courier, courier_id, bringing = await riding(world)
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    minus = position(1)
    minus.accuracy_meters = minus.speed_mps = minus.heading_degrees = -1.0
    minus.battery_percent = -1
    assert not (await worker.report(courier, new_id(), [minus])).rejected
    shown = (await watching.got("position")).position
    assert not any(shown.HasField(field) for field in ("accuracy_meters", "speed_mps", "heading_degrees"))
    row = await world.tx.read(
        lambda unit: unit.connection.fetchrow(
            "SELECT accuracy_meters, speed_mps, heading_degrees, battery_percent, flags FROM position_points"
            " WHERE courier_id = $1",
            courier_id,
        )
    )
    assert row is not None
    assert tuple(row) == (None, None, None, None, 0)


async def test_impossible_nanos_cost_their_own_position_only(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    start, uplink_id = now_seconds() - 20, new_id()
    positions = [position(seq, start + seq) for seq in range(1, 6)]
    positions[1].sample_time.nanos = -1
    positions[3].sample_time.nanos = 2_000_000_000
    ack = await worker.report(courier, uplink_id, positions)
    expected = [(2, Rejection.OUT_OF_RANGE), (4, Rejection.OUT_OF_RANGE)]
    assert [(one.seq, int(one.reason)) for one in ack.rejected] == expected
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    uplink.batch(positions)
    await uplink.acked(5)
    await uplink.finish()
    assert uplink.rejected == expected
    assert await world.stored(courier_id) == [1, 1, 3, 3, 5, 5]


async def test_a_position_that_comes_late_says_nothing_of_a_leap_that_waits(
    world: World, workers: list[Worker]
) -> None:
    courier, courier_id, _ = await riding(world)
    uplink_id, start, there = new_id(), now_seconds() - 20, Point(52.9, 13.4)
    ride = [position(seq, start + seq) for seq in range(1, 5)]
    await workers[0].report(courier, uplink_id, ride)
    await report_one_by_one(
        workers,
        courier,
        uplink_id,
        [position(6, start + 6, there), position(5, start + 5), position(7, start + 7, there)],
    )
    assert await marker_seq(world, courier_id) == 7


async def test_a_stream_that_comes_back_while_its_last_positions_wait_goes_on_with_what_it_knows(
    world: World, worker: Worker, database_url: str
) -> None:
    courier, courier_id, _ = await riding(world)
    uplink_id, start, there = new_id(), now_seconds() - 20, Point(52.9, 13.4)
    first = worker.uplink(courier)
    first.hello(uplink_id)
    await first.until(lambda: bool(first.answers))
    blocker = await asyncpg.connect(database_url)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE position_points IN SHARE MODE")  # it can be read
            first.batch([position(seq, start + seq) for seq in range(1, 4)])
            first.batch([position(4, start + 4, there)])
            while first.unread:  # noqa: ASYNC110 - that a message was read is announced by nothing
                await asyncio.sleep(0)
            await first.drop()
            second = worker.uplink(courier)
            second.hello(uplink_id)
            second.batch([position(5, start + 5, there)])
            while (newest := worker.hub.newest(courier_id)) is None or newest.seq < 5:
                assert not second.task.done()
                await asyncio.sleep(0.01)
    finally:
        await blocker.close()
    await second.acked(5)
    assert await marker_seq(world, courier_id) == 5
