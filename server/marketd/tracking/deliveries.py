"""What tracking reads of couriers and deliveries, and writes down of positions, in its own values.

The delivery slice owns all of it; journal.py tells it of stops and estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from marketd.delivery import service as delivery
from marketd.delivery.values import Delivery, LatestPosition, Stop
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.tracking.trip.gate import StopEvent
from marketd.tracking.trip.trip import Leg
from marketd.tracking.values import Fix, instant, micros
from marketd.tracking.watch.values import WatchedDelivery

Unit: TypeAlias = ReadUnit | UnitOfWork


async def read_reporting_courier(unit: Unit, user_id: UUID) -> tuple[UUID, bool] | None:
    """The id of the account's courier, and whether positions are taken from them: on shift, or with goods in hands."""
    courier = await delivery.read_courier_of(unit, user_id)
    if courier is None:
        return None
    return courier.courier_id, await delivery.reports_positions(unit, courier)


async def read_watched_delivery(unit: Unit, delivery_id: UUID) -> WatchedDelivery | None:
    """The delivery as watchers see it, whosever it is."""
    found = await delivery.read_delivery(unit, delivery_id)
    return _watched(found) if found is not None else None


async def read_legs(unit: Unit, courier_id: UUID) -> list[Leg]:
    """The courier's open deliveries, in the order in which they were assigned."""
    return [
        Leg(
            delivery_id=found.delivery_id,
            order_id=found.order_id,
            courier_id=courier_id,
            is_picked_up=found.state.is_picked_up,
            pickup_point=found.pickup.point,
            dropoff_point=found.dropoff.point,
            expected_time=found.eta.expected_time if found.eta is not None else None,
            latest_time=found.eta.latest_time if found.eta is not None else None,
            stops_told=frozenset(
                (stop.kind, event) for stop in (found.pickup, found.dropoff) for event in _stop_events(stop)
            ),
        )
        for found in await delivery.read_open_deliveries(unit, courier_id)
    ]


async def read_latest_fix(unit: Unit, courier_id: UUID) -> Fix | None:
    """Where the courier's live marker stands in the database."""
    found = await delivery.read_latest_position(unit, courier_id)
    if found is None:
        return None
    return Fix(
        seq=found.seq,
        sample_micros=micros(found.sample_time),
        receive_micros=micros(found.receive_time),
        point=found.point,
        accuracy_meters=found.accuracy_meters,
        speed_mps=found.speed_mps,
        heading_degrees=found.heading_degrees,
    )


async def save_latest_fixes(uow: UnitOfWork, fixes: Sequence[tuple[UUID, Fix]]) -> None:
    """Write down the live markers; an older one than is kept changes nothing. fixes: (courier id, fix)."""
    if not fixes:
        return
    await delivery.save_latest_positions(
        uow,
        [
            LatestPosition(
                courier_id=courier_id,
                sample_time=instant(fix.sample_micros),
                receive_time=instant(fix.receive_micros),
                latitude=fix.point.latitude,
                longitude=fix.point.longitude,
                speed_mps=fix.speed_mps,
                heading_degrees=fix.heading_degrees,
                accuracy_meters=fix.accuracy_meters,
                seq=fix.seq,
            )
            for courier_id, fix in fixes
        ],
    )


def _watched(found: Delivery) -> WatchedDelivery:
    return WatchedDelivery(
        delivery_id=found.delivery_id,
        order_id=found.order_id,
        buyer_id=found.buyer_id,
        owner_user_id=found.owner_user_id,
        courier=found.courier,
        state=found.state,
        outcome=found.outcome,
        assigned_micros=None if found.assign_time is None else micros(found.assign_time),
        picked_up_micros=_picked_up_micros(found),
        pickup_point=found.pickup.point,
        dropoff_point=found.dropoff.point,
        eta=found.eta,
    )


def _picked_up_micros(found: Delivery) -> int | None:
    """When the courier got the goods: from the seller, or from the courier who had them before."""
    if found.pick_up_time is None:
        return None
    return micros(max(found.pick_up_time, found.assign_time or found.pick_up_time))


def _stop_events(stop: Stop) -> list[StopEvent]:
    """What was told of the stop: delivery writes each time together with its event."""
    times = ((stop.arrive_time, StopEvent.ARRIVED), (stop.depart_time, StopEvent.DEPARTED))
    return [event for time, event in times if time is not None]
