"""Every SQL statement of access changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.auth.sessions.model import ChangeKind
from marketd.auth.sessions.values import AccessChange
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_CHANGE = Columns(AccessChange)


async def insert(
    connection: Connection, kind: ChangeKind, user_id: UUID, session_ids: Sequence[UUID | None]
) -> list[AccessChange]:
    """Write one change for each of the account's sessions, in one statement.

    session_ids: unique; [None] for a change that is about the account itself.
    """
    rows = await connection.fetch(
        "INSERT INTO access_changes (user_id, session_id, kind) SELECT $1, unnest($2::uuid[]), $3"
        f" RETURNING {_CHANGE.sql}",
        user_id,
        list(session_ids),
        kind.value,
    )
    return _CHANGE.values(rows)


async def database_now(connection: Connection) -> datetime:
    """The database's clock, by which changes are dated: workers' clocks may differ."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def read_since(connection: Connection, since: datetime) -> list[AccessChange]:
    """Every committed change dated after the instant."""
    rows = await connection.fetch(
        f"SELECT {_CHANGE.sql} FROM access_changes WHERE create_time > $1 ORDER BY position", since
    )
    return _CHANGE.values(rows)
