"""What tracking itself tells of a delivery. Stops and estimates are delivery's own events, which tracking sets off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from marketd.kernel.events.events import Event


@dataclass(frozen=True, kw_only=True)
class DeliveryLate(Event):
    """The delivery will be later than was promised first; told once a delivery."""

    event_type: ClassVar[str] = "delivery.late"
    aggregate: ClassVar[str] = "delivery"

    delivery_id: UUID
    order_id: UUID
    courier_id: UUID
    due_time: datetime
    expected_time: datetime
    earliest_time: datetime
    latest_time: datetime
    estimate_time: datetime
