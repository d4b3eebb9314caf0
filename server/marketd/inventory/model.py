"""The tables of inventory and the values that its use cases take and give. No SQL statements and no protobuf here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

MAX_QUANTITY = 1_000_000_000


class StockTable(Base):
    """The stock of one variant. `reserved` pieces are on hand but promised to open orders."""

    __tablename__ = "stocks"
    __table_args__ = (
        CheckConstraint("0 <= reserved AND reserved <= on_hand", name="reserved"),
        CheckConstraint(f"on_hand <= {MAX_QUANTITY}", name="on_hand"),
    )

    variant_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    on_hand: Mapped[int] = mapped_column(Integer)
    reserved: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    source_version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class MovementKind(StrEnum):
    """Why `on_hand` changed."""

    OPENED = "OPENED"
    """The first count, when the variant was made."""
    COUNTED = "COUNTED"
    """The seller counted anew."""
    SHIPPED = "SHIPPED"
    """Pieces left the shop with an order."""


class StockMovementTable(Base):
    """One change of `on_hand`; the sum of all of a variant's movements is its `on_hand` (invariant I1).

    Reservations are no movements: the lines of open orders are their record.
    """

    __tablename__ = "stock_movements"
    __table_args__ = (
        Index(None, "variant_id", "movement_id"),
        CheckConstraint("delta <> 0", name="delta"),
        CheckConstraint("kind IN ('OPENED', 'COUNTED', 'SHIPPED')", name="kind"),
    )

    movement_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    variant_id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    delta: Mapped[int] = mapped_column(Integer)
    on_hand: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text, server_default=text("''"))
    reference: Mapped[UUID | None] = mapped_column(Uuid)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Stock:
    """The stock of one variant as it is now."""

    variant_id: UUID
    seller_id: UUID
    on_hand: int
    reserved: int
    source_version: int
    create_time: datetime
    update_time: datetime

    @property
    def available(self) -> int:
        """How many pieces can still be sold."""
        return self.on_hand - self.reserved


@dataclass(frozen=True, slots=True)
class NewStock:
    """The first stock of a new variant; `quantity` 0..MAX_QUANTITY."""

    variant_id: UUID
    seller_id: UUID
    quantity: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """So many pieces of a variant; `quantity` is positive."""

    variant_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class Count:
    """A seller's count of one variant: how many pieces are on hand, promised ones included.

    `source_version` grows with each count in the seller's own system; None means that the count always holds.
    """

    variant_id: UUID
    quantity: int
    reason: str = ""
    source_version: int | None = None


@dataclass(frozen=True, slots=True)
class Shortage:
    """A line that cannot be had: `requested` pieces were asked for and `available` are there."""

    variant_id: UUID
    requested: int
    available: int
