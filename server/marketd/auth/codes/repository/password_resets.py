"""Every SQL statement of password resets: a few tokens may be out for an address, each as its SHA-256."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from marketd.kernel.db.database import Connection


async def may_send(connection: Connection, address_hash: bytes, now: datetime, pause: timedelta, limit: int) -> bool:
    """Whether another token may go out: fewer than `limit` are, and the last one is older than the pause.

    Forgets those whose time is over. No two ask for one address at once: its job is there once.
    """
    await connection.execute(
        "DELETE FROM password_resets WHERE address_hash = $1 AND expire_time <= $2", address_hash, now
    )
    may: bool = await connection.fetchval(
        "SELECT count(*) < $2 AND coalesce(max(create_time) <= $3, true) FROM password_resets WHERE address_hash = $1",
        address_hash,
        limit,
        now - pause,
    )
    return may


async def insert(
    connection: Connection,
    user_id: UUID | None,
    address_hash: bytes,
    token_hash: bytes,
    now: datetime,
    expire_time: datetime,
) -> None:
    """A new token beside those that are out; nobody's without `user_id`."""
    await connection.execute(
        "INSERT INTO password_resets (token_hash, user_id, address_hash, create_time, expire_time)"
        " VALUES ($1, $2, $3, $4, $5)",
        token_hash,
        user_id,
        address_hash,
        now,
        expire_time,
    )


async def user_of(connection: Connection, token_hash: bytes, now: datetime) -> UUID | None:
    """Whose token it is; None when it is unknown, used, too old or nobody's."""
    value: UUID | None = await connection.fetchval(
        "SELECT user_id FROM password_resets WHERE token_hash = $1 AND expire_time > $2", token_hash, now
    )
    return value


async def delete_all(connection: Connection, user_id: UUID) -> None:
    """Every token that is out for the account."""
    await connection.execute("DELETE FROM password_resets WHERE user_id = $1", user_id)
