"""The use case of giving a delivery to a courier."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from marketd.audit import log
from marketd.delivery.errors import CourierOffShift
from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryAssigned
from marketd.delivery.model import TRANSITIONS, CourierState, DeliveryState
from marketd.delivery.repository import couriers, deliveries, positions
from marketd.delivery.transition import transition
from marketd.delivery.values import Delivery, DeliveryCourier
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.geo import Point
from marketd.order import service as order

# An older position says nothing about where the courier is now.
FRESH_POSITION = timedelta(minutes=5)


async def assign_courier(
    uow: UnitOfWork, caller: Caller, delivery_id: UUID, courier_id: UUID, etag: str, pace: Pace
) -> Delivery:
    """Give a delivery that nobody has to a courier on shift. Of two at once, one wins; the winner's stays as it is.

    `etag` is the delivery's. Raises NotFound for either, CourierOffShift, EtagMismatch, IllegalTransition (the
    delivery's, or of an order that was cancelled).
    """
    courier = await couriers.lock(uow.connection, courier_id)
    if courier is None:
        raise NotFound("courier", courier_id)
    before = await deliveries.lock(uow.connection, delivery_id)
    if before is None:
        raise NotFound("delivery", delivery_id)
    if before.courier_id == courier_id and before.state.is_open:
        return before
    check_etag(etag, before.version)
    TRANSITIONS.check(before.state, DeliveryState.ASSIGNED)
    if courier.state is not CourierState.ACTIVE or courier.shift_id is None or courier.shift_vehicle is None:
        raise CourierOffShift(courier_id)
    position = await _fresh_point(uow, courier_id)
    await order.delivery_assigned(uow, before.order_id, courier.user_id, delivery_id, courier_id=courier_id)
    after = await transition(
        uow,
        before,
        DeliveryState.ASSIGNED,
        DeliveryAssigned,
        {"courier_user_id": courier.user_id},
        courier=DeliveryCourier(
            courier_id, courier.user_id, courier.first_name, courier.shift_vehicle, courier.rating_counts
        ),
        shift_id=courier.shift_id,
        eta=pace.before_pickup(uow.now, before.ready_time, position, before.pickup.point, before.dropoff.point),
    )
    await log.record(uow, caller, "delivery", delivery_id, f"courier {courier_id}")
    return after


async def _fresh_point(uow: UnitOfWork, courier_id: UUID) -> Point | None:
    latest = await positions.read_latest(uow.connection, courier_id)
    if latest is None or uow.now - latest.sample_time > FRESH_POSITION:
        return None
    return latest.point
