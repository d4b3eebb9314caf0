"""Every SQL statement of verification codes: one is out for each channel of an account and each purpose."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from marketd.auth.codes.model import CodePurpose, VerificationChannel
from marketd.auth.codes.values import SentCode
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_CODE = Columns(SentCode)
# Not "now": a try that began before, and waited for the account, has an earlier one.
_OVER = "expire_time = '-infinity'"


async def put(
    connection: Connection,
    user_id: UUID,
    channel: VerificationChannel,
    code: SentCode,
    now: datetime,
    expire_time: datetime,
    window: timedelta,
    limit: int,
) -> bool:
    """A new code in place of the one before; False when `limit` were sent within the window that runs."""
    sent = await connection.fetchval(
        "INSERT INTO verifications AS v (user_id, channel, target, code_hash, expire_time, send_count,"
        " window_time, purpose) VALUES ($1, $2, $3, $4, $6, 1, $5, $9)"
        " ON CONFLICT (user_id, channel, purpose) DO UPDATE SET"
        " target = $3, code_hash = $4, expire_time = $6, tries = 0,"
        " send_count = CASE WHEN v.window_time <= $5 - $7::interval THEN 1 ELSE v.send_count + 1 END,"
        " window_time = CASE WHEN v.window_time <= $5 - $7::interval THEN $5 ELSE v.window_time END"
        " WHERE v.send_count < $8 OR v.window_time <= $5 - $7::interval RETURNING send_count",
        user_id,
        channel.value,
        code.target,
        code.code_hash,
        now,
        expire_time,
        window,
        limit,
        code.purpose.value,
    )
    return sent is not None


async def window_time(
    connection: Connection, user_id: UUID, channel: VerificationChannel, purpose: CodePurpose
) -> datetime | None:
    """When the window began in which codes are counted."""
    value: datetime | None = await connection.fetchval(
        "SELECT window_time FROM verifications WHERE user_id = $1 AND channel = $2 AND purpose = $3",
        user_id,
        channel.value,
        purpose.value,
    )
    return value


async def take_try(
    connection: Connection, user_id: UUID, channel: VerificationChannel, now: datetime, limit: int
) -> list[SentCode]:
    """Count a try and give what it is held against: no code that may be tried, or one of a purpose, or of each."""
    rows = await connection.fetch(
        "UPDATE verifications SET tries = tries + 1"
        f" WHERE user_id = $1 AND channel = $2 AND expire_time > $3 AND tries < $4 RETURNING {_CODE.sql}",
        user_id,
        channel.value,
        now,
        limit,
    )
    return _CODE.values(rows)


async def spend(connection: Connection, user_id: UUID, channel: VerificationChannel, purpose: CodePurpose) -> None:
    """The code is used; the row stays, since it counts what was sent."""
    await connection.execute(
        f"UPDATE verifications SET {_OVER} WHERE user_id = $1 AND channel = $2 AND purpose = $3",
        user_id,
        channel.value,
        purpose.value,
    )


async def void_changes(connection: Connection, user_id: UUID) -> None:
    """Void the codes of changes that wait; their rows stay, since they count what was sent."""
    await connection.execute(f"UPDATE verifications SET {_OVER} WHERE user_id = $1 AND purpose = 'CHANGE'", user_id)


async def void_former(connection: Connection, user_id: UUID, email: str, phone: str) -> None:
    """Void the codes that went to another address or phone than these, to prove what the account has.

    Their rows stay, since they count what was sent: or changing to and fro would send without end.
    """
    await connection.execute(
        f"UPDATE verifications SET {_OVER} WHERE user_id = $1 AND purpose = 'CURRENT'"
        " AND target IS DISTINCT FROM CASE channel WHEN 'EMAIL' THEN $2 ELSE nullif($3, '') END",
        user_id,
        email,
        phone,
    )


async def delete_all(connection: Connection, user_id: UUID) -> None:
    """Every code of the account, and what was counted."""
    await connection.execute("DELETE FROM verifications WHERE user_id = $1", user_id)
