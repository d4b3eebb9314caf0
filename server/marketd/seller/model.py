"""The table of sellers and the values that a seller is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base
from marketd.kernel.values.address import Address


class SellerState(StrEnum):
    """Whether a seller may sell (marketplace.seller.v1.SellerState); only ACTIVE sells."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach the shop; empty texts mean none."""

    name: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """One span a week: `day` 1 (Monday) to 7; minutes after midnight, a close that is not later means the next day."""

    day: int
    open_minute: int
    close_minute: int


@dataclass(frozen=True, slots=True)
class Seller:
    """A seller, whole; `approve_time` is when it was first approved, None before."""

    seller_id: UUID
    owner_user_id: UUID
    handle: str
    shop_name: str
    description: str
    state: SellerState
    state_reason: str
    pickup: Address | None
    contact: Contact
    prep_minutes: int
    time_zone: str
    opening_hours: tuple[OpeningHours, ...]
    approve_time: datetime | None
    create_time: datetime
    update_time: datetime
    version: int


@dataclass(frozen=True, slots=True)
class SellerView:
    """What other slices need of a seller."""

    seller_id: UUID
    owner_user_id: UUID
    handle: str
    shop_name: str
    state: SellerState
    pickup: Address | None
    prep_minutes: int
    time_zone: str

    @property
    def sells(self) -> bool:
        """Whether anything of the seller may be bought now."""
        return self.state is SellerState.ACTIVE


class SellerTable(Base):
    """The rows of sellers."""

    __tablename__ = "sellers"
    __table_args__ = (
        CheckConstraint("state IN ('PENDING', 'ACTIVE', 'SUSPENDED', 'CLOSED')", name="state"),
        CheckConstraint("state IN ('PENDING', 'CLOSED') OR approve_time IS NOT NULL", name="approved"),
        CheckConstraint("prep_minutes BETWEEN 0 AND 1440", name="prep_minutes"),
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
    prep_minutes: Mapped[int] = mapped_column(Integer)
    time_zone: Mapped[str] = mapped_column(Text)
    opening_hours: Mapped[list[object]] = mapped_column(JSONB)
    approve_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
