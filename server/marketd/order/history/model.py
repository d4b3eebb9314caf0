"""The table of the steps of orders, what a step can be, and who can take it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base
from marketd.kernel.db.horizon import NUMBER


class OrderEventKind(StrEnum):
    """What happened, as in the contract."""

    PLACED = "PLACED"
    PAID = "PAID"
    ACCEPTED = "ACCEPTED"
    READY = "READY"
    DELIVERY_CREATED = "DELIVERY_CREATED"
    COURIER_ASSIGNED = "COURIER_ASSIGNED"
    COURIER_WITHDRAWN = "COURIER_WITHDRAWN"
    OUT_FOR_DELIVERY = "OUT_FOR_DELIVERY"
    DELIVERED = "DELIVERED"
    LINES_CANCELLED = "LINES_CANCELLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"


class OrderEventActor(StrEnum):
    """Who did it, as in the contract."""

    BUYER = "BUYER"
    SELLER = "SELLER"
    COURIER = "COURIER"
    ADMIN = "ADMIN"
    SERVICE = "SERVICE"
    SYSTEM = "SYSTEM"


class OrderEventTable(Base):
    """One step of an order; rows are written with the change of the order and never touched again.

    `number` is the order's version after it. `transaction_id` is the number of the transaction that wrote it (see
    kernel.db.horizon); of those from before this table it is 0, which everybody has seen. `detail` holds no words of
    people: those of a cancellation stand with the order, at the place that `detail` names. There is no foreign key: the
    statements that write this row write the order's, and orders are never deleted.
    """

    __tablename__ = "order_events"
    __table_args__ = (
        Index(None, "transaction_id"),
        Index(None, "buyer_id", "transaction_id"),
        Index(None, "seller_id", "transaction_id"),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    transaction_id: Mapped[int] = mapped_column(BigInteger, server_default=text(f"({NUMBER})"))
    buyer_id: Mapped[UUID] = mapped_column(Uuid)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    occur_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    kind: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    previous_state: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
