"""The use cases of giving a delivery to a courier, and of taking it from one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from marketd.audit import log
from marketd.delivery.errors import CourierOffShift
from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryAssigned
from marketd.delivery.give_back import withdraw
from marketd.delivery.model import TRANSITIONS, CourierState, DeliveryState, StopKind
from marketd.delivery.repository import couriers, deliveries, positions
from marketd.delivery.transition import change
from marketd.delivery.values import Courier, Delivery, DeliveryCourier
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.geo import Point
from marketd.order import service as order

# An older position says nothing about where the courier is now.
FRESH_POSITION = timedelta(minutes=5)
_NOBODY_HAS = (DeliveryState.CREATED, DeliveryState.OFFERING)


async def assign_courier(
    uow: UnitOfWork, caller: Caller, delivery_id: UUID, courier_id: UUID, etag: str, pace: Pace
) -> Delivery:
    """Give a delivery that nobody has to a courier on shift. Of two at once, one wins; the winner's stays as it is.

    `etag` is the delivery's. Raises NotFound for either, CourierOffShift, EtagMismatch, IllegalTransition (the
    delivery's, or of an order that was cancelled or given back).
    """
    courier = await _lock_courier(uow, courier_id)
    before = await _lock_delivery(uow, delivery_id)
    if before.courier_id == courier_id and before.state.is_open:
        return before
    check_etag(etag, before.version)
    if before.state not in _NOBODY_HAS:
        raise TRANSITIONS.refusal(before.state)
    after = await _give(uow, before, courier, pace)
    await log.record(uow, caller, "delivery", delivery_id, f"courier {courier_id}", before=before, after=after)
    return after


@dataclass(frozen=True, slots=True)
class ReassignDelivery:
    """Takes a delivery from its courier; None as courier means that nobody brings it for now."""

    delivery_id: UUID
    courier_id: UUID | None
    reason: str
    etag: str


async def reassign_delivery(uow: UnitOfWork, caller: Caller, command: ReassignDelivery, pace: Pace) -> Delivery:
    """Give an open delivery to another courier on shift, or before the pickup to nobody. Who has it already keeps it.

    Picked-up goods change hands outside of here; what the former courier did at the buyer's door counts no more. Raises
    NotFound for either, CourierOffShift, EtagMismatch, IllegalTransition.
    """
    delivery_id = command.delivery_id
    courier = None if command.courier_id is None else await _lock_courier(uow, command.courier_id)
    before = await _lock_delivery(uow, delivery_id)
    if before.courier_id == command.courier_id and before.state.is_open:
        return before
    check_etag(command.etag, before.version)
    if not before.state.is_open:
        raise TRANSITIONS.refusal(before.state)
    after = await withdraw(uow, before) if courier is None else await _give(uow, before, courier, pace)
    await log.record(uow, caller, "delivery", delivery_id, command.reason, before=before, after=after)
    return after


async def _give(uow: UnitOfWork, before: Delivery, courier: Courier, pace: Pace) -> Delivery:
    """The locked courier has the locked open delivery from now on, as if nobody else had had it.

    What the former courier guessed of the buyer's code is not held against the new one.
    """
    if courier.state is not CourierState.ACTIVE or courier.shift_id is None or courier.shift_vehicle is None:
        raise CourierOffShift(courier.courier_id)
    position = await _fresh_point(uow, courier.courier_id)
    await order.delivery_assigned(
        uow, before.order_id, courier.user_id, before.delivery_id, courier_id=courier.courier_id
    )
    await deliveries.save_wrong_codes(uow.connection, before.delivery_id, 0, None)
    pickup, dropoff = before.pickup.point, before.dropoff.point
    if before.state.is_picked_up:
        state, unvisited = DeliveryState.PICKED_UP, StopKind.DROPOFF
        eta = pace.after_pickup(uow.now, position, dropoff)
    else:
        state, unvisited = DeliveryState.ASSIGNED, StopKind.PICKUP
        eta = pace.before_pickup(uow.now, before.ready_time, position, pickup, dropoff)
    if state is not before.state:
        TRANSITIONS.check(before.state, state)
    stop: dict[str, Any] = {
        unvisited.value.lower(): replace(before.stop(unvisited), arrive_time=None, depart_time=None)
    }
    return await change(
        uow,
        before,
        DeliveryAssigned,
        {"courier_user_id": courier.user_id},
        state=state,
        courier=DeliveryCourier(
            courier.courier_id, courier.user_id, courier.first_name, courier.shift_vehicle, courier.rating_counts
        ),
        shift_id=courier.shift_id,
        assign_time=uow.now,
        eta=eta,
        **stop,
    )


async def _lock_courier(uow: UnitOfWork, courier_id: UUID) -> Courier:
    courier = await couriers.lock(uow.connection, courier_id)
    if courier is None:
        raise NotFound("courier", courier_id)
    return courier


async def _lock_delivery(uow: UnitOfWork, delivery_id: UUID) -> Delivery:
    found = await deliveries.lock(uow.connection, delivery_id)
    if found is None:
        raise NotFound("delivery", delivery_id)
    return found


async def _fresh_point(uow: UnitOfWork, courier_id: UUID) -> Point | None:
    latest = await positions.read_latest(uow.connection, courier_id)
    if latest is None or uow.now - latest.sample_time > FRESH_POSITION:
        return None
    return latest.point
