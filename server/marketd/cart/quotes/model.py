"""The table of quotes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

_INSTANT = DateTime(timezone=True)


class QuoteTable(Base):
    """What a cart would have cost; placing an order marks it used, once."""

    __tablename__ = "quotes"
    __table_args__ = (Index(None, "expire_time"), Index(None, "user_id"))

    quote_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Uuid)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
    expire_time: Mapped[datetime] = mapped_column(_INSTANT)
    use_time: Mapped[datetime | None] = mapped_column(_INSTANT)
