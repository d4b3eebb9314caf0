"""What other slices ask of delivery: who brings what, where couriers were last seen, and what their positions tell.

All of it runs on `unit.connection`, in the caller's unit of work. The use cases behind the rpcs stand in couriers.py,
assigning.py and handing_over.py; what orders set off stands in following_orders.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from marketd.delivery import courier_repository, repository, transition
from marketd.delivery.events import DeliveryArrived, DeliveryDeparted
from marketd.delivery.states import TRANSITIONS, Step, StopKind
from marketd.delivery.values import CourierView, Eta, LatestPosition, WatchedDelivery
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.geo import Point

Unit: TypeAlias = UnitOfWork | ReadUnit


async def read_delivery_for_watch(unit: Unit, delivery_id: UUID) -> WatchedDelivery | None:
    """What tracking needs of the delivery, whosever it is."""
    found = await repository.read(unit.connection, delivery_id)
    return found.watched() if found is not None else None


async def courier_of(unit: Unit, user_id: UUID) -> CourierView | None:
    """The account's courier."""
    return await courier_repository.of_account(unit.connection, user_id)


async def open_deliveries_of(unit: Unit, courier_id: UUID) -> list[WatchedDelivery]:
    """What the courier has now, in the order in which it was assigned."""
    return [found.watched() for found in await repository.open_of_courier(unit.connection, courier_id)]


async def save_latest_position(
    uow: UnitOfWork,
    courier_id: UUID,
    sample_time: datetime,
    receive_time: datetime,
    point: Point,
    speed: float | None,
    heading: float | None,
    accuracy: float | None,
    seq: int,
) -> None:
    """Write down where the courier was last seen (m/s, degrees, meters); an older position changes nothing."""
    await save_latest_positions(
        uow, [LatestPosition(courier_id, sample_time, receive_time, point, speed, heading, accuracy, seq)]
    )


async def save_latest_positions(uow: UnitOfWork, positions: Sequence[LatestPosition]) -> None:
    """The same for many couriers by one statement, whose rows are locked in the couriers' order."""
    await courier_repository.save_latest_positions(uow.connection, positions)


async def read_latest_position(unit: Unit, courier_id: UUID) -> LatestPosition | None:
    """Where the courier was last seen."""
    return await courier_repository.read_latest_position(unit.connection, courier_id)


async def save_eta(uow: UnitOfWork, delivery_id: UUID, eta: Eta) -> bool:
    """Write down a new estimate of an open delivery and tell its watchers; False when it is closed or not there."""
    found = await repository.lock(uow.connection, delivery_id)
    if found is None or not found.state.is_open:
        return False
    changed = await repository.change(uow.connection, delivery_id, uow.now, transition.eta_columns(eta))
    transition.emit_eta(uow, changed)
    return True


async def arrive_at_stop(uow: UnitOfWork, delivery_id: UUID, stop: StopKind, occurred_time: datetime) -> bool:
    """The courier's positions say that the courier is at the stop; False when that is known or means nothing now.

    The state follows when its table has the step (ASSIGNED → AT_PICKUP, PICKED_UP → AT_DROPOFF).
    """
    found = await repository.lock(uow.connection, delivery_id)
    if found is None or found.courier is None or not found.state.is_open:
        return False
    at_pickup = stop is StopKind.PICKUP
    view = found.pickup if at_pickup else found.dropoff
    if view.arrive_time is not None or at_pickup == found.state.is_picked_up:
        return False
    changes: dict[str, object] = {f"{stop.value.lower()}_arrive_time": occurred_time}
    step = Step.ARRIVE_AT_PICKUP if at_pickup else Step.ARRIVE_AT_DROPOFF
    if found.state in TRANSITIONS[step].sources:
        changes |= transition.columns_of(TRANSITIONS[step], occurred_time)
    changed = await repository.change(uow.connection, delivery_id, uow.now, changes)
    uow.emit(DeliveryArrived(stop=stop, **transition.carried(changed, found.state, occurred_time)))
    transition.tell_courier(uow, found, changed)
    return True


async def depart_from_stop(uow: UnitOfWork, delivery_id: UUID, stop: StopKind, occurred_time: datetime) -> bool:
    """The courier's positions say that the courier has left the stop; False when that is known or means nothing now."""
    found = await repository.lock(uow.connection, delivery_id)
    if found is None or found.courier is None or not found.state.is_open:
        return False
    view = found.pickup if stop is StopKind.PICKUP else found.dropoff
    if view.arrive_time is None or view.depart_time is not None:
        return False
    column = f"{stop.value.lower()}_depart_time"
    changed = await repository.change(uow.connection, delivery_id, uow.now, {column: occurred_time})
    uow.emit(DeliveryDeparted(stop=stop, **transition.carried(changed, found.state, occurred_time)))
    transition.tell_courier(uow, found, changed)
    return True
