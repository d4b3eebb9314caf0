"""What other slices ask of delivery: who brings what, where couriers were last seen, and what their positions mean.

All of it runs on `unit.connection`, in the caller's unit of work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from marketd.delivery import transition
from marketd.delivery.events import DeliveryArrived, DeliveryDeparted
from marketd.delivery.model import TRANSITIONS, DeliveryState, StopKind
from marketd.delivery.repository import couriers, deliveries, positions
from marketd.delivery.values import Courier, Delivery, Eta, LatestPosition
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ratings import Rating

Unit: TypeAlias = UnitOfWork | ReadUnit


async def read_delivery(unit: Unit, delivery_id: UUID) -> Delivery | None:
    """The delivery, whosever it is."""
    return await deliveries.read(unit.connection, delivery_id)


async def read_courier_of(unit: Unit, user_id: UUID) -> Courier | None:
    """The account's courier."""
    return await couriers.read_own(unit.connection, user_id)


async def set_rating(uow: UnitOfWork, courier_id: UUID, rating: Rating) -> None:
    """Write down what buyers think of a courier: review's CourierRatings. The courier's etag stays."""
    await couriers.set_rating(uow.connection, courier_id, rating)


async def reports_positions(unit: Unit, courier: Courier) -> bool:
    """Whether somebody waits to see where the courier is: who is on shift, and who was suspended with goods in hands,
    also when reinstated since.
    """
    # Nothing but what is picked up stays with somebody whose shift has ended.
    return courier.on_shift or await deliveries.one_open_of_courier(unit.connection, courier.courier_id) is not None


async def read_open_deliveries(unit: Unit, courier_id: UUID) -> list[Delivery]:
    """What the courier has now, in the order in which it was assigned."""
    return await deliveries.open_of_courier(unit.connection, courier_id)


async def save_latest_positions(uow: UnitOfWork, latest: Sequence[LatestPosition]) -> None:
    """Write down where couriers were last seen; an older position than the one kept changes nothing.

    One statement for all, whose rows are locked in the couriers' order.
    """
    await positions.save_latest(uow.connection, latest)


async def read_latest_position(unit: Unit, courier_id: UUID) -> LatestPosition | None:
    """Where the courier was last seen."""
    return await positions.read_latest(unit.connection, courier_id)


async def save_eta(uow: UnitOfWork, delivery_id: UUID, courier_id: UUID, eta: Eta) -> bool:
    """Write down a new estimate from the courier's positions and tell the delivery's watchers; False when the courier
    does not bring it now.
    """
    found = await _lock_brought(uow, delivery_id, courier_id)
    if found is None:
        return False
    await transition.change_eta(uow, found, eta)
    return True


async def arrive_at_stop(
    uow: UnitOfWork, delivery_id: UUID, courier_id: UUID, kind: StopKind, occurred_time: datetime
) -> bool:
    """The courier's positions say that the courier is at the stop; False when that is known or means nothing now, as
    when somebody else brings it since.

    The state follows when its table has the step (ASSIGNED → AT_PICKUP, PICKED_UP → AT_DROPOFF).
    """
    found = await _lock_brought(uow, delivery_id, courier_id)
    if found is None:
        return False
    at_pickup, stop = kind is StopKind.PICKUP, found.stop(kind)
    if stop.arrive_time is not None or at_pickup == found.state.is_picked_up:
        return False
    arrived = {kind.value.lower(): replace(stop, arrive_time=occurred_time)}
    state = DeliveryState.AT_PICKUP if at_pickup else DeliveryState.AT_DROPOFF
    told = {"stop": kind}
    if found.state in TRANSITIONS.sources(state):
        await transition.transition(uow, found, state, DeliveryArrived, told, occurred_time=occurred_time, **arrived)
    else:
        await transition.change(uow, found, DeliveryArrived, told, occurred_time=occurred_time, **arrived)
    return True


async def depart_from_stop(
    uow: UnitOfWork, delivery_id: UUID, courier_id: UUID, kind: StopKind, occurred_time: datetime
) -> bool:
    """The courier's positions say that the courier has left the stop; False when that is known or means nothing now."""
    found = await _lock_brought(uow, delivery_id, courier_id)
    if found is None:
        return False
    stop = found.stop(kind)
    if stop.arrive_time is None or stop.depart_time is not None:
        return False
    departed = {kind.value.lower(): replace(stop, depart_time=occurred_time)}
    await transition.change(uow, found, DeliveryDeparted, {"stop": kind}, occurred_time=occurred_time, **departed)
    return True


async def _lock_brought(uow: UnitOfWork, delivery_id: UUID, courier_id: UUID) -> Delivery | None:
    """The delivery, locked, if it is open and this courier brings it."""
    found = await deliveries.lock(uow.connection, delivery_id)
    return found if found is not None and found.courier_id == courier_id and found.state.is_open else None
