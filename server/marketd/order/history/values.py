"""The steps of orders as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.kernel.events.events import Json
from marketd.order.history.model import OrderEventActor, OrderEventKind
from marketd.order.model import OrderState


@dataclass(frozen=True, slots=True)
class OrderStep:
    """What a change of an order was; the order's row says the rest. detail: see OrderEventTable."""

    kind: OrderEventKind
    actor: OrderEventActor
    previous_state: OrderState
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One step of an order, as it is kept. number: from 1 on, without gaps but where it is older than the table."""

    order_id: UUID
    number: int
    occur_time: datetime
    kind: OrderEventKind
    actor: OrderEventActor
    previous_state: OrderState
    state: OrderState
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class FollowedEvent:
    """A step for those who follow many orders: whose it is, and which transaction has written it."""

    order_id: UUID
    number: int
    transaction_id: int
    occur_time: datetime
    kind: OrderEventKind
    previous_state: OrderState
    state: OrderState
    buyer_id: UUID
    seller_id: UUID
    owner_user_id: UUID
    order_group_id: UUID
