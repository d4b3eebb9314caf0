"""Access changes: written in the transaction that makes them, read by every worker's poller.

A cursor over `position` would lose rows (a later number may commit first), so readers take everything of the last half
minute again and leave out what they have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.auth.events import AccessChanged
from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `position` is only a name for it, not an order."""

    position: int
    user_id: UUID
    session_id: UUID | None
    kind: ChangeKind


async def record(uow: UnitOfWork, kind: ChangeKind, user_id: UUID, session_id: UUID | None = None) -> None:
    """Write the change with this transaction; every worker knows of it within 2 s of the commit."""
    position: int = await uow.connection.fetchval(
        "INSERT INTO access_changes (user_id, session_id, kind) VALUES ($1, $2, $3) RETURNING position",
        user_id,
        session_id,
        kind.value,
    )
    uow.emit(AccessChanged(user_id=user_id, session_id=session_id, kind=kind, position=position))


async def record_ended_sessions(uow: UnitOfWork, user_id: UUID, session_ids: Sequence[UUID]) -> None:
    """Write that these sessions of the account have ended, however many, in one statement."""
    rows = await uow.connection.fetch(
        "INSERT INTO access_changes (user_id, session_id, kind) SELECT $1, unnest($2::uuid[]), $3"
        " RETURNING position, session_id",
        user_id,
        session_ids,
        ChangeKind.SESSION_REVOKED.value,
    )
    for row in rows:
        uow.emit(
            AccessChanged(
                user_id=user_id,
                session_id=row["session_id"],
                kind=ChangeKind.SESSION_REVOKED,
                position=row["position"],
            )
        )


async def database_now(connection: Connection) -> datetime:
    """The database's clock, by which changes are dated: workers' clocks may differ."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def read_since(connection: Connection, since: datetime) -> list[Change]:
    """Every committed change dated after the instant."""
    rows = await connection.fetch(
        "SELECT position, user_id, session_id, kind FROM access_changes WHERE create_time > $1 ORDER BY position",
        since,
    )
    return [Change(row["position"], row["user_id"], row["session_id"], ChangeKind(row["kind"])) for row in rows]
