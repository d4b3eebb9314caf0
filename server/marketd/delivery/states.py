"""The states of couriers and deliveries, and the one table of steps that says which state may follow which."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from marketd.kernel.call.refusals import IllegalTransition


class CourierState(StrEnum):
    """Where a courier's account as a courier stands (marketplace.delivery.v1.CourierState)."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


class Vehicle(StrEnum):
    """What a courier moves with (marketplace.delivery.v1.VehicleType)."""

    FOOT = "FOOT"
    BICYCLE = "BICYCLE"
    SCOOTER = "SCOOTER"
    MOTORCYCLE = "MOTORCYCLE"
    CAR = "CAR"
    VAN = "VAN"


class DeliveryState(StrEnum):
    """Where a delivery stands (marketplace.delivery.v1.DeliveryState)."""

    CREATED = "CREATED"
    OFFERING = "OFFERING"
    ASSIGNED = "ASSIGNED"
    AT_PICKUP = "AT_PICKUP"
    PICKED_UP = "PICKED_UP"
    AT_DROPOFF = "AT_DROPOFF"
    CLOSED = "CLOSED"

    @property
    def is_open(self) -> bool:
        """Whether the delivery has not ended."""
        return self is not DeliveryState.CLOSED

    @property
    def is_picked_up(self) -> bool:
        """Whether the courier has the goods."""
        return self in (DeliveryState.PICKED_UP, DeliveryState.AT_DROPOFF)


class DeliveryOutcome(StrEnum):
    """How a delivery ended (marketplace.delivery.v1.DeliveryOutcome)."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"


class StopKind(StrEnum):
    """The two stops of a delivery (marketplace.delivery.v1.StopKind)."""

    PICKUP = "PICKUP"
    DROPOFF = "DROPOFF"


class RemovalReason(StrEnum):
    """Why a delivery is a courier's no more (marketplace.delivery.v1.DeliveryRemovalReason)."""

    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    REASSIGNED = "REASSIGNED"


class Step(StrEnum):
    """What can happen to a delivery."""

    ASSIGN = "ASSIGN"
    ARRIVE_AT_PICKUP = "ARRIVE_AT_PICKUP"
    PICK_UP = "PICK_UP"
    ARRIVE_AT_DROPOFF = "ARRIVE_AT_DROPOFF"
    COMPLETE = "COMPLETE"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Transition:
    """From which states a step leads to which; `outcome` is set when it ends the delivery."""

    sources: frozenset[DeliveryState]
    target: DeliveryState
    outcome: DeliveryOutcome | None = None


_WAITING = frozenset({DeliveryState.CREATED, DeliveryState.OFFERING})
_FETCHING = frozenset({DeliveryState.ASSIGNED, DeliveryState.AT_PICKUP})
_BRINGING = frozenset({DeliveryState.PICKED_UP, DeliveryState.AT_DROPOFF})

# The AT_* states are what the courier's positions tell; without a position they are skipped.
TRANSITIONS: dict[Step, Transition] = {
    Step.ASSIGN: Transition(_WAITING, DeliveryState.ASSIGNED),
    Step.ARRIVE_AT_PICKUP: Transition(frozenset({DeliveryState.ASSIGNED}), DeliveryState.AT_PICKUP),
    Step.PICK_UP: Transition(_FETCHING, DeliveryState.PICKED_UP),
    Step.ARRIVE_AT_DROPOFF: Transition(frozenset({DeliveryState.PICKED_UP}), DeliveryState.AT_DROPOFF),
    Step.COMPLETE: Transition(_BRINGING, DeliveryState.CLOSED, DeliveryOutcome.DELIVERED),
    Step.CANCEL: Transition(_WAITING | _FETCHING, DeliveryState.CLOSED, DeliveryOutcome.CANCELLED),
}


def allowed_from(state: DeliveryState) -> list[str]:
    """The states that may follow, in the order of a delivery's life."""
    targets = {transition.target for transition in TRANSITIONS.values() if state in transition.sources}
    return [candidate.value for candidate in DeliveryState if candidate in targets]


def check_step(step: Step, state: DeliveryState) -> Transition:
    """The transition of a step, if it is legal now. Raises IllegalTransition."""
    transition = TRANSITIONS[step]
    if state not in transition.sources:
        raise IllegalTransition("delivery", state.value, allowed_from(state))
    return transition
