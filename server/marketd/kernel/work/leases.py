"""Leadership by lease: one holder at a time of a name, in a row of its own, so it works through any pooler."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import DATABASE_ERRORS, Base
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id


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


class Leadership:
    """A process's part in a lease: asked before each piece of work, it renews what it has and takes what is free."""

    def __init__(self, tx: Transactor, name: str, length: timedelta) -> None:
        self._tx = tx
        self._name = name
        self._length = length
        self._holder: UUID = new_id()
        self._renewed: float | None = None

    async def is_ours(self) -> bool:
        """Whether this process leads; it asks the database once a third of the lease, or each time while it does not.

        Raises what a unit of work raises; it is then not known, and asked anew the next time.
        """
        begun = time.monotonic()
        if self._renewed is not None and begun - self._renewed <= self._length.total_seconds() / 3:
            return True
        self._renewed = None
        taken = await self._tx.run(
            f"{self._name}.lease", lambda uow: take_lease(uow, self._name, self._holder, self._length)
        )
        self._renewed = begun if taken else None
        return taken

    def doubt(self) -> None:
        """Something was refused: ask the database before the next piece of work."""
        self._renewed = None

    async def give_back(self) -> None:
        """At the end: the next holder need not wait. Without a database the lease runs out by itself."""
        if self._renewed is not None:
            with contextlib.suppress(Refusal, *DATABASE_ERRORS):
                await asyncio.shield(
                    self._tx.run(f"{self._name}.release", lambda uow: release_lease(uow, self._name, self._holder))
                )
