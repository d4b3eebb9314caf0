"""What happened to orders. Every event carries the order's changeable part after it, so a watcher can show each step as
it was, and the states before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from marketd.kernel.events.events import Event, Json


@dataclass(frozen=True, kw_only=True)
class OrderEvent(Event):
    """What all order events carry. `after` is Order.progress() after the change."""

    aggregate: ClassVar[str] = "order"

    order_id: UUID
    order_group_id: UUID
    order_number: str
    buyer_id: UUID
    seller_id: UUID
    owner_user_id: UUID
    state: str
    previous_state: str
    after: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True)
class OrderPlaced(OrderEvent):
    """The order exists, its stock is reserved, and it waits for the money."""

    event_type: ClassVar[str] = "order.placed"

    total_minor: int
    currency: str
    item_count: int


@dataclass(frozen=True, kw_only=True)
class OrderPaid(OrderEvent):
    """The money was taken; the seller's turn."""

    event_type: ClassVar[str] = "order.paid"

    payment_id: UUID


@dataclass(frozen=True, kw_only=True)
class OrderAccepted(OrderEvent):
    """The seller prepares it."""

    event_type: ClassVar[str] = "order.accepted"

    prep_duration: timedelta
    expected_ready_time: datetime


@dataclass(frozen=True, kw_only=True)
class OrderReady(OrderEvent):
    """It waits for the courier. `expected_ready_time` is what the seller promised, `ready_time` when it was.

    Where it is picked up and dropped off stands with the order: events carry nothing that belongs to a person.
    """

    event_type: ClassVar[str] = "order.ready"

    expected_ready_time: datetime
    ready_time: datetime
    item_count: int
    delivery_fee_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class OrderCourierAssigned(OrderEvent):
    """Another courier, or the first one, brings it; the state stays."""

    event_type: ClassVar[str] = "order.courier_assigned"

    delivery_id: UUID
    courier_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class OrderCourierWithdrawn(OrderEvent):
    """Nobody brings it for now; the state stays."""

    event_type: ClassVar[str] = "order.courier_withdrawn"


@dataclass(frozen=True, kw_only=True)
class OrderDeliveryMade(OrderEvent):
    """Its delivery exists; the state stays."""

    event_type: ClassVar[str] = "order.delivery_made"

    delivery_id: UUID


@dataclass(frozen=True, kw_only=True)
class OrderOutForDelivery(OrderEvent):
    """The courier has it; its goods left the stock."""

    event_type: ClassVar[str] = "order.out_for_delivery"


@dataclass(frozen=True, kw_only=True)
class OrderDelivered(OrderEvent):
    """The buyer has it."""

    event_type: ClassVar[str] = "order.delivered"


@dataclass(frozen=True, kw_only=True)
class OrderLinesCancelled(OrderEvent):
    """Some pieces were cancelled and the rest goes on; the state stays."""

    event_type: ClassVar[str] = "order.lines_cancelled"


@dataclass(frozen=True, kw_only=True)
class OrderCancelled(OrderEvent):
    """Nothing of it is left; the money goes back, and so does the stock unless a courier has lost it."""

    event_type: ClassVar[str] = "order.cancelled"

    reason: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class OrderRejected(OrderEvent):
    """The seller refused it; stock and money go back."""

    event_type: ClassVar[str] = "order.rejected"

    reason: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class OrderExpired(OrderEvent):
    """It was not paid in time; the stock is back."""

    event_type: ClassVar[str] = "order.expired"


@dataclass(frozen=True, kw_only=True)
class OrderRefunded(OrderEvent):
    """Money of it was given back; the state is REFUNDED when that was all of it and the buyer had it already."""

    event_type: ClassVar[str] = "order.refunded"

    amount_minor: int
    currency: str
