"""The tables of inventory and the rules that are theirs. No SQL statements and no protobuf here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

MAX_QUANTITY = 1_000_000_000


class StockPolicy(StrEnum):
    """When a variant can be bought; the values are those of the contract without the prefix."""

    TRACKED = "TRACKED"
    UNTRACKED = "UNTRACKED"
    CONTINUE = "CONTINUE"


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
    source_version: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
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
    RETURNED = "RETURNED"
    """Pieces came back because nobody could deliver their order."""


_KINDS = ", ".join(f"'{kind.value}'" for kind in MovementKind)


class StockMovementTable(Base):
    """One change of `on_hand`; the sum of all of a variant's movements is its `on_hand` (invariant I1).

    Reservations are no movements: the lines of open orders are their record.
    """

    __tablename__ = "stock_movements"
    __table_args__ = (
        Index(None, "variant_id", "movement_id"),
        CheckConstraint("delta <> 0", name="delta"),
        CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
    )

    movement_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    variant_id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    delta: Mapped[int] = mapped_column(Integer)
    on_hand: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text, server_default=text("''"))
    reference: Mapped[UUID | None] = mapped_column(Uuid)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
