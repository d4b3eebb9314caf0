"""The events of delivery: what happened to a delivery, and beside it what that means for the courier who has it.

Those of the aggregate `delivery` are for whoever follows one delivery. Those of the aggregate `courier` are one
courier's own sequence, so WatchDeliveries can go on after any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from marketd.delivery.model import CourierState, DeliveryOutcome, DeliveryState, RemovalReason, StopKind
from marketd.kernel.events.events import Event


@dataclass(frozen=True, kw_only=True)
class DeliveryEvent(Event):
    """What every event of a delivery carries: where it stands after the event, and who brings it."""

    aggregate: ClassVar[str] = "delivery"

    delivery_id: UUID
    order_id: UUID
    courier_id: UUID | None
    previous_state: DeliveryState
    state: DeliveryState
    outcome: DeliveryOutcome | None
    occurred_time: datetime


@dataclass(frozen=True, kw_only=True)
class DeliveryCreated(DeliveryEvent):
    """An order is ready, and somebody has to bring it."""

    event_type: ClassVar[str] = "delivery.created"

    seller_id: UUID
    buyer_id: UUID


@dataclass(frozen=True, kw_only=True)
class DeliveryAssigned(DeliveryEvent):
    """A courier will bring it, the first one or another; the state stays when another one was to bring it before."""

    event_type: ClassVar[str] = "delivery.assigned"

    courier_user_id: UUID


@dataclass(frozen=True, kw_only=True)
class DeliveryWithdrawn(DeliveryEvent):
    """It was taken from its courier before the pickup; nobody brings it for now."""

    event_type: ClassVar[str] = "delivery.withdrawn"


@dataclass(frozen=True, kw_only=True)
class DeliveryArrived(DeliveryEvent):
    """The courier is at one of the stops; the state follows where it can."""

    event_type: ClassVar[str] = "delivery.arrived"

    stop: StopKind


@dataclass(frozen=True, kw_only=True)
class DeliveryDeparted(DeliveryEvent):
    """The courier has left one of the stops."""

    event_type: ClassVar[str] = "delivery.departed"

    stop: StopKind


@dataclass(frozen=True, kw_only=True)
class DeliveryPickedUp(DeliveryEvent):
    """The courier has the goods."""

    event_type: ClassVar[str] = "delivery.picked_up"


@dataclass(frozen=True, kw_only=True)
class DeliveryClosed(DeliveryEvent):
    """It has ended; the outcome says how."""

    event_type: ClassVar[str] = "delivery.closed"


@dataclass(frozen=True, kw_only=True)
class DeliveryReturned(DeliveryEvent):
    """The goods of one that had failed came back to the seller after all."""

    event_type: ClassVar[str] = "delivery.returned"


@dataclass(frozen=True, kw_only=True)
class DeliveryEtaChanged(DeliveryEvent):
    """It is expected at another time than before; `occurred_time` is when that was estimated."""

    event_type: ClassVar[str] = "delivery.eta_changed"

    expected_time: datetime
    earliest_time: datetime
    latest_time: datetime


@dataclass(frozen=True, kw_only=True)
class CourierEvent(Event):
    """What every event of a courier carries."""

    aggregate: ClassVar[str] = "courier"

    courier_id: UUID


@dataclass(frozen=True, kw_only=True)
class CourierCreated(CourierEvent):
    """Somebody applied as a courier."""

    event_type: ClassVar[str] = "courier.created"

    user_id: UUID
    state: CourierState


@dataclass(frozen=True, kw_only=True)
class CourierMoved(CourierEvent):
    """What every change of a courier's state carries: whose courier it is, and the state after it."""

    user_id: UUID
    state: CourierState


@dataclass(frozen=True, kw_only=True)
class CourierApproved(CourierMoved):
    """An admin approved a courier."""

    event_type: ClassVar[str] = "courier.approved"


@dataclass(frozen=True, kw_only=True)
class CourierRejected(CourierMoved):
    """An admin turned an application down."""

    event_type: ClassVar[str] = "courier.rejected"


@dataclass(frozen=True, kw_only=True)
class CourierSuspended(CourierMoved):
    """A courier may take nothing new: an admin says so, or the account cannot act."""

    event_type: ClassVar[str] = "courier.suspended"


@dataclass(frozen=True, kw_only=True)
class CourierReinstated(CourierMoved):
    """A suspended or closed courier works again."""

    event_type: ClassVar[str] = "courier.reinstated"


@dataclass(frozen=True, kw_only=True)
class CourierClosed(CourierMoved):
    """Somebody is a courier no more."""

    event_type: ClassVar[str] = "courier.closed"


@dataclass(frozen=True, kw_only=True)
class ShiftStarted(CourierEvent):
    """A courier takes deliveries from now on."""

    event_type: ClassVar[str] = "courier.shift_started"

    shift_id: UUID


@dataclass(frozen=True, kw_only=True)
class ShiftEnded(CourierEvent):
    """A courier takes no more deliveries."""

    event_type: ClassVar[str] = "courier.shift_ended"

    shift_id: UUID


@dataclass(frozen=True, kw_only=True)
class CourierDeliveryAssigned(CourierEvent):
    """A delivery was given to the courier."""

    event_type: ClassVar[str] = "courier.delivery_assigned"

    delivery_id: UUID
    state: DeliveryState
    delivery_version: int


@dataclass(frozen=True, kw_only=True)
class CourierDeliveryChanged(CourierEvent):
    """One of the courier's deliveries has changed."""

    event_type: ClassVar[str] = "courier.delivery_changed"

    delivery_id: UUID
    previous_state: DeliveryState
    state: DeliveryState
    delivery_version: int


@dataclass(frozen=True, kw_only=True)
class CourierDeliveryRemoved(CourierEvent):
    """A delivery is the courier's no more."""

    event_type: ClassVar[str] = "courier.delivery_removed"

    delivery_id: UUID
    removal_reason: RemovalReason
