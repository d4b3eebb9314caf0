"""The table of quotes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

_INSTANT = DateTime(timezone=True)


class QuoteTable(Base):
    """What a cart would have cost; placing an order marks it used, once.

    It is an account's, or of a guest's cart until that goes into an account's, or goes.
    """

    __tablename__ = "quotes"
    __table_args__ = (
        CheckConstraint("num_nonnulls(user_id, guest_cart_id) = 1", name="owner"),
        Index(None, "expire_time"),
        Index(None, "user_id"),
        Index("ix_quotes_guest_cart_id", "guest_cart_id", postgresql_where=text("guest_cart_id IS NOT NULL")),
    )

    quote_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(Uuid)
    guest_cart_id: Mapped[UUID | None] = mapped_column(ForeignKey("carts.cart_id", ondelete="CASCADE"))
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
    expire_time: Mapped[datetime] = mapped_column(_INSTANT)
    use_time: Mapped[datetime | None] = mapped_column(_INSTANT)
