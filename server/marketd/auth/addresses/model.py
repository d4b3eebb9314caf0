"""The table of saved addresses."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

MAX_ADDRESSES = 50
"""How many addresses an account may keep."""


class SavedAddressTable(Base):
    """An address in an account's book; `postal_address` is the JSON of kernel.address.Address."""

    __tablename__ = "addresses"
    __table_args__ = (
        Index(None, "user_id", "address_id"),
        # At most one default: a constraint; that there is one is the use cases' doing, under the account's lock.
        Index("uq_addresses_primary", "user_id", unique=True, postgresql_where=text('"primary"')),
    )

    address_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"))
    label: Mapped[str] = mapped_column(Text)
    postal_address: Mapped[dict[str, object]] = mapped_column(JSONB)
    primary: Mapped[bool]
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
