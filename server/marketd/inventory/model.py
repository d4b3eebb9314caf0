"""The tables of inventory and the rules that are theirs. No SQL statements and no protobuf here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

MAX_QUANTITY = 1_000_000_000
"""The most pieces that a stock may count, and the most that may be owed to buyers beyond it."""
LOW_STOCK = 5


class StockPolicy(StrEnum):
    """Until when a variant is sold. Pieces are counted alike for all three; only the bar differs."""

    TRACKED = "TRACKED"
    """While there are as many as are asked for."""
    UNTRACKED = "UNTRACKED"
    """Always; how many there are says nothing about whether it can be had."""
    CONTINUE = "CONTINUE"
    """Always; when none is left, buyers are told that they wait for it."""


class StockState(StrEnum):
    """How well a variant can be bought, without telling how many there are."""

    IN_STOCK = "IN_STOCK"
    LOW_STOCK = "LOW_STOCK"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    BACKORDER = "BACKORDER"


_POLICIES = ", ".join(f"'{policy.value}'" for policy in StockPolicy)


class StockTable(Base):
    """The stock of one variant. `reserved` pieces are promised to open orders.

    `oversold` are those of them that are not there. It is a column, though it follows from the others, so that only
    statements that mean to promise what is not there can do so: any other one meets the CHECK. `update_time` is later
    with each change, so a variant's movements have the order in which they happened.
    """

    __tablename__ = "stocks"
    __table_args__ = (
        CheckConstraint("0 <= reserved AND oversold = GREATEST(0, reserved - on_hand)", name="reserved"),
        CheckConstraint(f"on_hand <= {MAX_QUANTITY} AND oversold <= {MAX_QUANTITY}", name="on_hand"),
        CheckConstraint(f"policy IN ({_POLICIES})", name="policy"),
    )

    variant_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    policy: Mapped[str] = mapped_column(Text, server_default=text("'TRACKED'"))
    on_hand: Mapped[int] = mapped_column(Integer)
    reserved: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    oversold: Mapped[int] = mapped_column(Integer, server_default=text("0"))
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
    ADJUSTED = "ADJUSTED"
    """The seller put some in or took some out."""
    SHIPPED = "SHIPPED"
    """Pieces left the shop with an order."""
    RETURNED = "RETURNED"
    """Pieces came back because nobody could deliver their order."""


class ActorKind(StrEnum):
    """As whom somebody changed `on_hand`."""

    SELLER = "SELLER"
    ADMIN = "ADMIN"
    SERVICE = "SERVICE"
    SYSTEM = "SYSTEM"
    """The marketplace, as an order went its way."""


_KINDS = ", ".join(f"'{kind.value}'" for kind in MovementKind)
_ACTORS = ", ".join(f"'{kind.value}'" for kind in ActorKind)


class StockMovementTable(Base):
    """One change of `on_hand`; the sum of all of a variant's movements is its `on_hand` (invariant I1).

    Reservations are no movements: the lines of open orders are their record. A list of movements is put together of one
    list a kind, so that the rare ones are found as quickly as the others.
    """

    __tablename__ = "stock_movements"
    __table_args__ = (
        Index("ix_stock_movements_variant", "variant_id", "create_time", "movement_id"),
        Index("ix_stock_movements_seller", "seller_id", "kind", "create_time", "movement_id"),
        Index("ix_stock_movements_kind", "kind", "create_time", "movement_id"),
        CheckConstraint("delta <> 0", name="delta"),
        CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
        CheckConstraint(f"actor IN ({_ACTORS})", name="actor"),
    )

    movement_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    variant_id: Mapped[UUID] = mapped_column(Uuid)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    delta: Mapped[int] = mapped_column(Integer)
    on_hand: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text, server_default=text("''"))
    actor: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[UUID | None] = mapped_column(Uuid)
    reference: Mapped[UUID | None] = mapped_column(Uuid)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
