"""What every step of a delivery shares: the columns it writes and the events it emits, so that no step forgets one."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict
from uuid import UUID

from marketd.delivery.events import (
    CourierDeliveryAssigned,
    CourierDeliveryChanged,
    CourierDeliveryRemoved,
    DeliveryEtaChanged,
)
from marketd.delivery.states import DeliveryOutcome, DeliveryState, RemovalReason, Transition
from marketd.delivery.values import DeliveryView, Eta
from marketd.kernel.db.uow import UnitOfWork

_TIME_COLUMNS = {
    DeliveryState.OFFERING: "offer_time",
    DeliveryState.ASSIGNED: "assign_time",
    DeliveryState.AT_PICKUP: "at_pickup_time",
    DeliveryState.PICKED_UP: "pick_up_time",
    DeliveryState.AT_DROPOFF: "at_dropoff_time",
    DeliveryState.CLOSED: "close_time",
}


class Carried(TypedDict):
    """The fields of events.DeliveryEvent."""

    delivery_id: UUID
    order_id: UUID
    courier_id: UUID | None
    previous_state: DeliveryState
    state: DeliveryState
    outcome: DeliveryOutcome | None
    occurred_time: datetime


def carried(delivery: DeliveryView, previous: DeliveryState, occurred_time: datetime) -> Carried:
    """What an event of the delivery carries, after a step from `previous`."""
    return Carried(
        delivery_id=delivery.delivery_id,
        order_id=delivery.order_id,
        courier_id=delivery.courier_id,
        previous_state=previous,
        state=delivery.state,
        outcome=delivery.outcome,
        occurred_time=occurred_time,
    )


def columns_of(transition: Transition, occurred_time: datetime) -> dict[str, object]:
    """The columns that a transition writes. A closed delivery has no estimate any more."""
    columns: dict[str, object] = {
        "state": transition.target.value,
        _TIME_COLUMNS[transition.target]: occurred_time,
    }
    if transition.outcome is not None:
        columns["outcome"] = transition.outcome.value
        columns |= eta_columns(None)
    return columns


def eta_columns(eta: Eta | None) -> dict[str, object]:
    """The columns of an estimate."""
    return {
        "eta_expected_time": eta.expected_time if eta else None,
        "eta_earliest_time": eta.earliest_time if eta else None,
        "eta_latest_time": eta.latest_time if eta else None,
        "eta_estimate_time": eta.estimate_time if eta else None,
    }


def emit_eta(uow: UnitOfWork, delivery: DeliveryView) -> None:
    """Tell the delivery's watchers its present estimate, if it has one."""
    eta = delivery.eta
    if eta is not None:
        uow.emit(
            DeliveryEtaChanged(
                expected_time=eta.expected_time,
                earliest_time=eta.earliest_time,
                latest_time=eta.latest_time,
                **carried(delivery, delivery.state, eta.estimate_time),
            )
        )


def tell_courier(uow: UnitOfWork, before: DeliveryView, after: DeliveryView) -> None:
    """Emit into the couriers' own sequences what a change means for whoever had the delivery and whoever has it."""
    if before.courier_id is not None and (before.courier_id != after.courier_id or not after.state.is_open):
        uow.emit(
            CourierDeliveryRemoved(
                courier_id=before.courier_id, delivery_id=after.delivery_id, removal_reason=_removal(after)
            )
        )
    if after.courier_id is None or not after.state.is_open:
        return
    if before.courier_id != after.courier_id:
        uow.emit(
            CourierDeliveryAssigned(
                courier_id=after.courier_id,
                delivery_id=after.delivery_id,
                state=after.state,
                delivery_version=after.version,
            )
        )
    else:
        uow.emit(
            CourierDeliveryChanged(
                courier_id=after.courier_id,
                delivery_id=after.delivery_id,
                previous_state=before.state,
                state=after.state,
                delivery_version=after.version,
            )
        )


def _removal(after: DeliveryView) -> RemovalReason:
    if after.state.is_open:
        return RemovalReason.REASSIGNED
    return RemovalReason.CANCELLED if after.outcome is DeliveryOutcome.CANCELLED else RemovalReason.CLOSED
