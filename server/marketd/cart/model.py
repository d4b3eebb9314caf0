"""The tables of carts and their items, and how much they may hold."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

MAX_LINE_QUANTITY: Final = 999
MAX_LINES: Final = 100

_INSTANT = DateTime(timezone=True)


class CartTable(Base):
    """One cart an account, or a guest's, which has no account and is found by its id. Its row lock guards its items.

    No index has a column that adding an item changes: the row is written anew in its place then, and no index grows.
    """

    __tablename__ = "carts"
    __table_args__ = (Index("ix_carts_guests", "create_time", postgresql_where=text("user_id IS NULL")),)

    cart_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
    promo_code_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    version: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
    update_time: Mapped[datetime] = mapped_column(_INSTANT)


class CartItemTable(Base):
    """A variant in a cart; `price_minor` is the price when the item was last changed, so a later one can be told."""

    __tablename__ = "cart_items"
    __table_args__ = (
        UniqueConstraint("cart_id", "variant_id"),
        CheckConstraint(f"quantity BETWEEN 1 AND {MAX_LINE_QUANTITY}", name="quantity"),
    )

    item_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.cart_id", ondelete="CASCADE"))
    variant_id: Mapped[UUID] = mapped_column(Uuid)
    quantity: Mapped[int] = mapped_column(Integer)
    price_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
    update_time: Mapped[datetime] = mapped_column(_INSTANT)
