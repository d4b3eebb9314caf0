"""The table of sellers, their states, and which state may follow which. No SQL statements and no protobuf here."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Interval, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base
from marketd.kernel.values.transitions import Transitions


class SellerState(StrEnum):
    """Whether a seller may sell (marketplace.seller.v1.SellerState); only ACTIVE sells."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


SELLER_STEPS = Transitions(
    "seller",
    {
        SellerState.PENDING: (SellerState.ACTIVE, SellerState.CLOSED),
        SellerState.ACTIVE: (SellerState.SUSPENDED, SellerState.CLOSED),
        SellerState.SUSPENDED: (SellerState.ACTIVE, SellerState.CLOSED),
        SellerState.CLOSED: (),
    },
)


class SellerTable(Base):
    """The rows of sellers."""

    __tablename__ = "sellers"
    __table_args__ = (
        CheckConstraint("state IN ('PENDING', 'ACTIVE', 'SUSPENDED', 'CLOSED')", name="state"),
        CheckConstraint("state IN ('PENDING', 'CLOSED') OR approve_time IS NOT NULL", name="approved"),
        CheckConstraint("prep_duration BETWEEN interval '0' AND interval '24 hours'", name="prep_duration"),
        # An account has at most one seller that is not closed.
        Index("uq_sellers_owner_user_id", "owner_user_id", unique=True, postgresql_where=text("state <> 'CLOSED'")),
    )

    seller_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner_user_id: Mapped[UUID] = mapped_column(Uuid)
    handle: Mapped[str] = mapped_column(Text, unique=True)
    shop_name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    state_reason: Mapped[str] = mapped_column(Text, server_default=text("''"))
    pickup_address: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    contact: Mapped[dict[str, object]] = mapped_column(JSONB)
    prep_duration: Mapped[timedelta] = mapped_column(Interval)
    time_zone: Mapped[str] = mapped_column(Text)
    opening_hours: Mapped[list[object]] = mapped_column(JSONB)
    opening_exceptions: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    approve_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
