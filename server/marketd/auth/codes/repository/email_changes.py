"""Every SQL statement of changes of the e-mail address that can be taken back, each known by its token's SHA-256."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.auth.codes.values import EmailChange
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_CHANGE = Columns(EmailChange)


async def insert(
    connection: Connection, token_hash: bytes, change: EmailChange, now: datetime, expire_time: datetime
) -> None:
    """The former address of a change, kept for the account until the instant."""
    await connection.execute(
        "INSERT INTO email_changes (token_hash, user_id, former_email, former_verified, create_time, expire_time)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        token_hash,
        change.user_id,
        change.former_email,
        change.former_verified,
        now,
        expire_time,
    )


async def read(connection: Connection, token_hash: bytes, now: datetime) -> EmailChange | None:
    """The change that the token takes back; None when it is unknown, used or too old."""
    row = await connection.fetchrow(
        f"SELECT {_CHANGE.sql} FROM email_changes WHERE token_hash = $1 AND expire_time > $2", token_hash, now
    )
    return _CHANGE.optional(row)


async def holder_of(connection: Connection, email: str, now: datetime) -> UUID | None:
    """The account that the address is kept for. email: in lower case."""
    value: UUID | None = await connection.fetchval(
        "SELECT user_id FROM email_changes WHERE former_email = $1 AND expire_time > $2 LIMIT 1", email, now
    )
    return value


async def delete_of(connection: Connection, email: str) -> None:
    """Keep the address for nobody. email: in lower case."""
    await connection.execute("DELETE FROM email_changes WHERE former_email = $1", email)


async def delete_since(connection: Connection, user_id: UUID, since: datetime) -> None:
    """The account's changes from the instant on: they are taken back."""
    await connection.execute("DELETE FROM email_changes WHERE user_id = $1 AND create_time >= $2", user_id, since)


async def delete_all(connection: Connection, user_id: UUID) -> None:
    """Every change of the account: nothing is taken back any more."""
    await connection.execute("DELETE FROM email_changes WHERE user_id = $1", user_id)
