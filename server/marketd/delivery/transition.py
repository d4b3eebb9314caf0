"""One way to change a delivery: the new value is written over the locked old one, and its events go into the outbox.

Each change raises the version once. No change forgets an event: what happened, the estimate when it is another, and
what that means for the courier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from marketd.delivery.events import (
    CourierDeliveryAssigned,
    CourierDeliveryChanged,
    CourierDeliveryRemoved,
    DeliveryClosed,
    DeliveryEtaChanged,
    DeliveryEvent,
)
from marketd.delivery.model import TRANSITIONS, DeliveryOutcome, DeliveryState, RemovalReason, check_end
from marketd.delivery.repository import deliveries
from marketd.delivery.values import Delivery, Eta
from marketd.kernel.db.uow import UnitOfWork

# When the courier came to a door stands at the stop.
_TIMES: Final[Mapping[DeliveryState, str]] = {
    DeliveryState.OFFERING: "offer_time",
    DeliveryState.ASSIGNED: "assign_time",
    DeliveryState.PICKED_UP: "pick_up_time",
    DeliveryState.CLOSED: "close_time",
}


async def transition(
    uow: UnitOfWork,
    delivery: Delivery,
    state: DeliveryState,
    event: type[DeliveryEvent],
    told: Mapping[str, object] | None = None,
    *,
    occurred_time: datetime | None = None,
    **fields: Any,
) -> Delivery:
    """Take a locked delivery to another state. Raises IllegalTransition when the table has no such step.

    `occurred_time`: when it really happened, None: now. `told` and `fields` as in `change`; use `close` to end one.
    """
    TRANSITIONS.check(delivery.state, state)
    happened = occurred_time or uow.now
    if state in _TIMES:
        fields[_TIMES[state]] = happened
    return await change(uow, delivery, event, told, occurred_time=happened, state=state, **fields)


async def close(
    uow: UnitOfWork,
    delivery: Delivery,
    outcome: DeliveryOutcome,
    *,
    occurred_time: datetime | None = None,
    **fields: Any,
) -> Delivery:
    """End a locked delivery; it has no estimate any more. Raises IllegalTransition when it cannot end so now."""
    check_end(delivery.state, outcome)
    return await transition(
        uow,
        delivery,
        DeliveryState.CLOSED,
        DeliveryClosed,
        occurred_time=occurred_time,
        outcome=outcome,
        eta=None,
        **fields,
    )


async def change(
    uow: UnitOfWork,
    delivery: Delivery,
    event: type[DeliveryEvent] | None,
    told: Mapping[str, object] | None = None,
    *,
    occurred_time: datetime | None = None,
    **fields: Any,
) -> Delivery:
    """Change `fields` of a locked delivery and tell of it.

    `event` is for those who follow the delivery, None when only the courier needs to know; `told` is what the event
    has beyond DeliveryEvent.
    """
    after = await _write(uow, delivery, fields)
    if event is not None:
        uow.emit(make_event(event, after, delivery.state, occurred_time or uow.now, told))
    if after.eta != delivery.eta:
        emit_eta(uow, after)
    _tell_courier(uow, delivery, after)
    return after


async def change_eta(uow: UnitOfWork, delivery: Delivery, eta: Eta) -> Delivery:
    """Write a new estimate of a locked delivery and tell it. The courier's own sequence has no estimates."""
    after = await _write(uow, delivery, {"eta": eta})
    emit_eta(uow, after)
    return after


def make_event(
    event: type[DeliveryEvent],
    after: Delivery,
    previous: DeliveryState,
    occurred_time: datetime,
    told: Mapping[str, object] | None = None,
) -> DeliveryEvent:
    """The event of a step from `previous`; `told` as in `change`."""
    further: dict[str, Any] = dict(told or {})
    return event(
        delivery_id=after.delivery_id,
        order_id=after.order_id,
        courier_id=after.courier_id,
        previous_state=previous,
        state=after.state,
        outcome=after.outcome,
        occurred_time=occurred_time,
        **further,
    )


def emit_eta(uow: UnitOfWork, delivery: Delivery) -> None:
    """Tell the delivery's watchers its present estimate, if it has one."""
    eta = delivery.eta
    if eta is not None:
        times = {
            "expected_time": eta.expected_time,
            "earliest_time": eta.earliest_time,
            "latest_time": eta.latest_time,
        }
        uow.emit(make_event(DeliveryEtaChanged, delivery, delivery.state, eta.estimate_time, times))


async def _write(uow: UnitOfWork, delivery: Delivery, fields: Mapping[str, Any]) -> Delivery:
    after = replace(delivery, **fields, version=delivery.version + 1, update_time=uow.now)
    await deliveries.save(uow.connection, after)
    return after


def _tell_courier(uow: UnitOfWork, before: Delivery, after: Delivery) -> None:
    """Emit into the couriers' own sequences what a change means for who had the delivery and for who has it.

    One that was closed before is nobody's already.
    """
    if not before.state.is_open:
        return
    had, has = before.courier_id, after.courier_id
    if had is not None and (had != has or not after.state.is_open):
        uow.emit(
            CourierDeliveryRemoved(courier_id=had, delivery_id=after.delivery_id, removal_reason=_removal_reason(after))
        )
    if has is None or not after.state.is_open:
        return
    if had != has:
        uow.emit(
            CourierDeliveryAssigned(
                courier_id=has, delivery_id=after.delivery_id, state=after.state, delivery_version=after.version
            )
        )
    else:
        uow.emit(
            CourierDeliveryChanged(
                courier_id=has,
                delivery_id=after.delivery_id,
                previous_state=before.state,
                state=after.state,
                delivery_version=after.version,
            )
        )


def _removal_reason(after: Delivery) -> RemovalReason:
    if after.state.is_open:
        return RemovalReason.REASSIGNED
    return RemovalReason.CANCELLED if after.outcome is DeliveryOutcome.CANCELLED else RemovalReason.CLOSED
