"""The use cases of seeing deliveries and giving them to couriers."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from marketd.audit import log
from marketd.delivery import courier_repository as couriers
from marketd.delivery import list_repository, repository
from marketd.delivery import transition as moving
from marketd.delivery.errors import CourierOffShift
from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryAssigned
from marketd.delivery.list_repository import ListFilter
from marketd.delivery.states import CourierState, Step, check_step
from marketd.delivery.values import DeliveryView
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.geo import Point
from marketd.order import service as order

# An older position says nothing about where the courier is now.
FRESH_POSITION = timedelta(minutes=5)


def may_see(caller: Caller, delivery: DeliveryView) -> bool:
    """Whether the delivery exists for this caller."""
    if caller.has(Role.ADMIN, Role.SERVICE):
        return True
    courier = delivery.courier
    return caller.user_id is not None and caller.user_id in (
        delivery.buyer_id,
        delivery.owner_user_id,
        courier.user_id if courier is not None else None,
    )


async def get_delivery(unit: ReadUnit, caller: Caller, delivery_id: UUID) -> DeliveryView:
    """The delivery. Raises NotFound, also for somebody else's."""
    found = await repository.read(unit.connection, delivery_id)
    if found is None or not may_see(caller, found):
        raise NotFound("delivery", delivery_id)
    return found


async def list_deliveries(
    unit: ReadUnit, caller: Caller, wanted: ListFilter, before: UUID | None, limit: int
) -> list[DeliveryView]:
    """Newest first: what the caller receives, hands out or brings; all of them for admins and services."""
    owner = None if caller.has(Role.ADMIN, Role.SERVICE) else caller.known_user_id
    return await list_repository.list_page(unit.connection, owner, wanted, before, limit)


async def assign_courier(
    uow: UnitOfWork, caller: Caller, delivery_id: UUID, courier_id: UUID, pace: Pace
) -> DeliveryView:
    """Give a delivery that nobody has to a courier on shift. Of two at once, one wins.

    Raises NotFound for either, CourierOffShift, IllegalTransition (the delivery's, or of an order that was
    cancelled).
    """
    courier = await couriers.lock(uow.connection, courier_id)
    if courier is None:
        raise NotFound("courier", courier_id)
    before = await repository.lock(uow.connection, delivery_id)
    if before is None:
        raise NotFound("delivery", delivery_id)
    transition = check_step(Step.ASSIGN, before.state)
    if courier.state is not CourierState.ACTIVE or courier.shift_id is None or courier.shift_vehicle is None:
        raise CourierOffShift(courier_id)
    at = await _fresh_point(uow, courier_id)
    eta = pace.before_pickup(uow.now, before.ready_time, at, before.pickup.point, before.dropoff.point)
    after = await repository.change(
        uow.connection,
        delivery_id,
        uow.now,
        {
            **moving.columns_of(transition, uow.now),
            **moving.eta_columns(eta),
            "courier_id": courier_id,
            "shift_id": courier.shift_id,
            "vehicle": courier.shift_vehicle.value,
        },
    )
    await order.delivery_assigned(uow, before.order_id, courier.user_id, delivery_id, courier_id=courier_id)
    uow.emit(DeliveryAssigned(courier_user_id=courier.user_id, **moving.carried(after, before.state, uow.now)))
    moving.emit_eta(uow, after)
    moving.tell_courier(uow, before, after)
    await log.record(uow, caller, "delivery", delivery_id, f"courier {courier_id}")
    return after


async def _fresh_point(uow: UnitOfWork, courier_id: UUID) -> Point | None:
    latest = await couriers.read_latest_position(uow.connection, courier_id)
    if latest is None or uow.now - latest.sample_time > FRESH_POSITION:
        return None
    return latest.point
