"""How much of a delivery each kind of watcher sees, and that a worker which hears nothing still finds out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from google.type.latlng_pb2 import LatLng
from marketd.delivery.model import DeliveryState
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.broadcast import LocalBroadcast
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.tracking import repository
from marketd.tracking.errors import OffShift, StreamSuperseded
from marketd.tracking.trip.trip import Promise
from marketd.tracking.uplink import couriers
from marketd.tracking.values import Fix
from marketplace.delivery.v1 import delivery_pb2

from tests.worlds.calls import caller_of
from tests.worlds.tracking import Worker, World, run_worker
from tests.worlds.tracking_clients import DROPOFF, PICKUP, Uplink, now_seconds, position


def door(point: Point) -> LatLng:
    """A door on the map."""
    return LatLng(latitude=point.latitude, longitude=point.longitude)


async def test_each_sees_the_doors_that_are_theirs_to_find_and_nobody_any_when_it_is_over(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    everything, admin = (door(PICKUP), door(DROPOFF)), caller_of(new_id(), Role.ADMIN)
    sees: list[tuple[Caller, tuple[LatLng | None, LatLng | None]]] = [
        (bringing.buyer, (None, door(DROPOFF))),
        (bringing.seller, (door(PICKUP), None)),
        (courier, everything),
        (admin, everything),
    ]
    for is_over in (False, True):
        if is_over:
            await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
            await world.step(bringing.delivery_id, DeliveryState.CLOSED)
        for caller, doors in sees:
            snapshot = (await worker.watch(caller, bringing.delivery_id).got("snapshot")).snapshot
            found = (
                snapshot.pickup_point if snapshot.HasField("pickup_point") else None,
                snapshot.dropoff_point if snapshot.HasField("dropoff_point") else None,
            )
            assert found == ((None, None) if is_over else doors)


async def test_who_comes_sees_the_newest_position_that_this_worker_has_heard_of(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    await worker.report(courier, new_id(), [position(1, now_seconds() - 20)])
    # The next one is not committed yet, so the database has the one before.
    at = worker.hub.now_micros
    worker.hub.moved(courier_id, Fix(2, at, at, PICKUP, 5.0, None, None))
    watching = worker.watch(bringing.buyer, bringing.delivery_id)
    assert (await watching.got("snapshot")).snapshot.position.seq == 2


async def test_what_was_promised_first_stays_promised(world: World) -> None:
    delivery_id, early = new_id(), SystemClock().now()
    late = early + timedelta(hours=1)
    for due, promised in ((None, None), (early, early), (late, early), (None, early)):
        made = await world.tx.run("test.promise", partial(_promise, delivery_id=delivery_id, due=due))
        assert made.due_time == promised


async def _promise(uow: UnitOfWork, delivery_id: UUID, due: datetime | None) -> Promise:
    return await repository.promise(uow.connection, delivery_id, due)


async def test_whose_role_was_taken_follows_nothing_and_a_courier_nothing_that_others_bring(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    other, _ = await world.courier()
    bringing = await world.delivery(courier_id)
    for caller in (
        caller_of(courier.known_user_id, Role.BUYER),
        caller_of(bringing.seller.known_user_id, Role.BUYER),
        other,
    ):
        with pytest.raises(NotFound):
            await worker.watch(caller, bringing.delivery_id).ended()


@pytest.fixture
async def deaf(world: World, database_url: str) -> AsyncIterator[list[Worker]]:
    """Two workers that hear neither of each other nor of what the world does."""
    async with AsyncExitStack() as stack:
        made: list[Worker] = []
        for _ in range(2):
            engine = create_engine(database_url, pool_size=3, pool_timeout_seconds=5)
            stack.push_async_callback(engine.dispose)
            tx = Transactor(engine, SystemClock())
            stack.push_async_callback(tx.drain)
            made.append(await stack.enter_async_context(run_worker(tx, LocalBroadcast())))
        yield made


async def ended(uplink: Uplink) -> None:
    """The uplink's stream has ended."""
    async with asyncio.timeout(20):
        await uplink.task


async def test_what_a_lost_broadcast_would_have_told_is_found_by_looking(
    world: World, deaf: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A shift that ends is looked for every half minute.
    monkeypatch.setattr(couriers, "REFRESH_SECONDS", 0.4)
    one, another = deaf
    (riding, courier_id), (resting, resting_id) = await world.courier(), await world.courier()
    bringing = await world.delivery(courier_id)
    buyer = one.watch(bringing.buyer, bringing.delivery_id)
    await buyer.got("snapshot")
    old, rest = one.uplink(riding), one.uplink(resting)
    for uplink in (old, rest):
        uplink.hello(new_id())
        await uplink.until(lambda uplink=uplink: bool(uplink.answers))  # type: ignore[misc]

    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    await world.end_shift(resting_id)
    newer = another.uplink(riding)
    newer.hello(new_id())
    await newer.until(lambda: bool(newer.answers))

    assert (await buyer.got("state_change")).state_change.state == delivery_pb2.DELIVERY_STATE_PICKED_UP
    with pytest.raises(OffShift):
        await ended(rest)
    with pytest.raises(StreamSuperseded):
        await ended(old)
    assert not newer.task.done()
