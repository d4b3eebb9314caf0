"""Leadership by lease: one holder at a time of a name, in a row of its own, so it works through any pooler."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base
from marketd.kernel.db.uow import UnitOfWork


class LeaseTable(Base):
    """Who leads under a name, and until when unless renewed."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[UUID] = mapped_column(Uuid)
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


async def take_lease(uow: UnitOfWork, name: str, holder: UUID, length: timedelta) -> bool:
    """Take or renew the lease; False while another holds it."""
    row = await uow.connection.fetchrow(
        "INSERT INTO leases AS l (name, holder, expire_time) VALUES ($1, $2, $3)"
        " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expire_time = excluded.expire_time"
        " WHERE l.holder = excluded.holder OR l.expire_time < $4 RETURNING holder",
        name,
        holder,
        uow.now + length,
        uow.now,
    )
    return row is not None


async def release_lease(uow: UnitOfWork, name: str, holder: UUID) -> None:
    """Give the lease back, so the next holder need not wait for its end."""
    await uow.connection.execute("DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder)
