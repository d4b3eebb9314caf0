"""The table of service accounts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base


class ServiceAccountTable(Base):
    """An internal service; its secret is 256 bits that nobody can guess, so a plain SHA-256 of it is enough."""

    __tablename__ = "service_accounts"
    __table_args__ = (
        Index("uq_service_accounts_name", "name", unique=True, postgresql_where=text("revoke_time IS NULL")),
    )

    service_account_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    use_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoke_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
