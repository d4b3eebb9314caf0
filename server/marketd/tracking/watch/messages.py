"""What a stored event of a delivery says to its watchers: bodies of messages, without tokens. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from marketd.delivery.events import DeliveryArrived, DeliveryAssigned, DeliveryDeparted, DeliveryEtaChanged
from marketd.delivery.model import DeliveryOutcome, DeliveryState, StopKind
from marketd.delivery.values import DeliveryCourier, Eta
from marketd.kernel.events.events import Json, StoredEvent
from marketd.tracking.events import DeliveryLate
from marketd.tracking.trip.gate import StopEvent
from marketd.tracking.watch import convert

ETA_CHANGED: Final = DeliveryEtaChanged.event_type
LATE: Final = DeliveryLate.event_type
_STOPS: Final = {DeliveryArrived.event_type: StopEvent.ARRIVED, DeliveryDeparted.event_type: StopEvent.DEPARTED}


def bodies_of(event: StoredEvent, courier: DeliveryCourier | None) -> list[bytes]:
    """The messages of one event, in order; none for an event that watchers need not know.

    `courier` is who brings the delivery now; a change of state names the courier only while it is the event's own.
    """
    payload = event.payload
    if event.event_type == ETA_CHANGED:
        return [convert.eta_body(eta_of(event))]
    if event.event_type == LATE:
        return [convert.late_body(_time(payload["due_time"]), eta_of(event))]
    bodies: list[bytes] = []
    what = _STOPS.get(event.event_type)
    occurred = _time(payload["occurred_time"]) if "occurred_time" in payload else event.occurred_time
    if what is not None:
        bodies.append(convert.stop_body(StopKind(str(payload["stop"])), what, occurred))
    state, previous = payload.get("state"), payload.get("previous_state")
    # Another courier may bring it while the state stays.
    if state is not None and (state != previous or event.event_type == DeliveryAssigned.event_type):
        outcome = payload.get("outcome")
        bodies.append(
            convert.state_change_body(
                DeliveryState(str(previous)) if previous else None,
                DeliveryState(str(state)),
                DeliveryOutcome(str(outcome)) if outcome is not None else None,
                courier if courier is not None and str(courier.courier_id) == payload.get("courier_id") else None,
                occurred,
            )
        )
    return bodies


def eta_of(event: StoredEvent) -> Eta:
    """The estimate in an event about one."""
    payload = event.payload
    return Eta(
        expected_time=_time(payload["expected_time"]),
        earliest_time=_time(payload["earliest_time"]),
        latest_time=_time(payload["latest_time"]),
        estimate_time=_time(payload["estimate_time"] if "estimate_time" in payload else payload["occurred_time"]),
    )


def _time(value: Json) -> datetime:
    return datetime.fromisoformat(str(value))
