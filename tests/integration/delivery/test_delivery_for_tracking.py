"""What tracking asks of delivery: who brings what, the latest position that never goes back, and estimates."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from marketd.delivery import service
from marketd.delivery.estimate import band
from marketd.delivery.model import DeliveryOutcome, DeliveryState, Vehicle
from marketd.delivery.values import DeliveryCourier, LatestPosition
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events import outbox
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id

if TYPE_CHECKING:
    from tests.worlds.delivery import World

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def test_a_delivery_names_its_people_and_points(world: World) -> None:
    ready, courier, courier_id = await world.picked_up()
    found = await world.tx.read(lambda unit: service.read_delivery(unit, ready.delivery_id))
    assert found is not None
    assert (found.buyer_id, found.owner_user_id) == (ready.buyer.known_user_id, ready.seller.known_user_id)
    assert found.courier == DeliveryCourier(courier_id, courier.known_user_id, "Noor", Vehicle.BICYCLE)
    assert (found.state, found.outcome) == (DeliveryState.PICKED_UP, None)
    assert found.pickup.point == Point(52.53, 13.4)
    assert found.eta is not None
    assert await world.tx.read(lambda unit: service.read_open_deliveries(unit, courier_id)) == [found]
    assert await world.tx.read(lambda unit: service.read_delivery(unit, new_id())) is None

    await world.complete(courier, ready.delivery_id, await world.code(ready))
    closed = await world.tx.read(lambda unit: service.read_delivery(unit, ready.delivery_id))
    assert closed is not None
    assert (closed.outcome, closed.eta) == (DeliveryOutcome.DELIVERED, None)
    assert closed.close_time is not None
    assert await world.tx.read(lambda unit: service.read_open_deliveries(unit, courier_id)) == []


async def test_a_delivery_shows_how_its_courier_was_rated(world: World) -> None:
    ready, _, courier_id = await world.assigned()
    counts = (0, 0, 0, 1, 3)

    async def rate(uow: UnitOfWork) -> None:
        await uow.connection.execute(
            "UPDATE couriers SET rating_counts = $2 WHERE courier_id = $1", courier_id, list(counts)
        )

    await world.tx.run("test.rate", rate)
    courier = (await world.get(ready.buyer, ready.delivery_id)).courier
    assert (courier.rating.count, courier.rating.average) == (4, 4.75)
    assert tuple(courier.rating.histogram) == counts


async def test_the_latest_position_never_goes_back(world: World) -> None:
    _, courier_id = await world.courier()
    _, other_id = await world.courier()

    def position(seconds: int, courier: UUID = courier_id) -> LatestPosition:
        at = NOON + timedelta(seconds=seconds)
        return LatestPosition(
            courier_id=courier,
            sample_time=at,
            receive_time=at,
            latitude=52.0 + seconds / 1000,
            longitude=13.0,
            speed_mps=5.0,
            heading_degrees=None,
            accuracy_meters=8.0,
            seq=seconds,
        )

    async def save(*positions: LatestPosition) -> None:
        await world.tx.run("test.save", lambda uow: service.save_latest_positions(uow, positions))

    await save(position(10), position(30), position(20), position(5, other_id))
    assert await world.tx.read(lambda unit: service.read_latest_position(unit, courier_id)) == position(30)
    await asyncio.gather(*(save(position(seconds), position(seconds, other_id)) for seconds in range(25, 45)))
    assert await world.tx.read(lambda unit: service.read_latest_position(unit, courier_id)) == position(44)
    assert await world.tx.read(lambda unit: service.read_latest_position(unit, other_id)) == position(44, other_id)
    await save(replace(position(1), seq=99))
    assert await world.tx.read(lambda unit: service.read_latest_position(unit, courier_id)) == position(44)


async def test_a_new_estimate_is_kept_and_told_until_the_delivery_closes(world: World) -> None:
    ready, courier, courier_id = await world.picked_up()
    told_courier = await world.tx.read(lambda unit: outbox.last_seq(unit.connection, courier_id))
    now = datetime.now(UTC).replace(microsecond=0)
    eta = band(now, now + timedelta(minutes=9))

    async def save() -> bool:
        return await world.tx.run("test.eta", lambda uow: service.save_eta(uow, ready.delivery_id, courier_id, eta))

    assert await save() is True
    assert (await world.get(ready.buyer, ready.delivery_id)).eta.expected_time.ToDatetime(UTC) == eta.expected_time
    events = await world.tx.read(lambda unit: outbox.read_aggregate(unit.connection, ready.delivery_id, 0))
    assert events[-1].event_type == "delivery.eta_changed"
    assert events[-1].payload["expected_time"] == eta.expected_time.isoformat()
    # The courier's own sequence tells of the delivery, not of estimates.
    assert await world.tx.read(lambda unit: outbox.last_seq(unit.connection, courier_id)) == told_courier
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    assert await save() is False
