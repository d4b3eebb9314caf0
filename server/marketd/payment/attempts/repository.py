"""Every SQL statement of attempts, on the unit of work's asyncpg connection."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.values.ids import new_id
from marketd.payment.model import AttemptState
from marketd.payment.ports import ChargeOutcome
from marketd.payment.values import Attempt, Payment

# ruff: noqa: S608 - every interpolated part is one of the constants here
_ATTEMPT = Columns(Attempt)
_UNSETTLED = [AttemptState.PENDING.value, AttemptState.ACTION_REQUIRED.value]


async def insert_attempt(
    connection: Connection,
    payment: Payment,
    *,
    request_id: UUID,
    fingerprint: bytes,
    method: str,
    return_url: str,
    now: datetime,
) -> Attempt | None:
    """Write the group's next attempt; None when another payment's attempt has the request id."""
    row = await connection.fetchrow(
        "INSERT INTO payment_attempts (attempt_id, payment_id, order_group_id, number, key, payment_provider, buyer_id,"
        " request_id, fingerprint, method, return_url, amount_minor, currency, state, create_time, update_time)"
        " SELECT $1, $2, $3, n.number, 'order:' || $3::uuid || ':attempt:' || n.number, $4, $5, $6, $7, $8, $9, $10,"
        "   $11, $12, $13, $13"
        " FROM (SELECT COALESCE(max(number), 0) + 1 AS number FROM payment_attempts WHERE order_group_id = $3) n"
        f" ON CONFLICT (buyer_id, request_id) DO NOTHING RETURNING {_ATTEMPT.sql}",
        new_id(),
        payment.payment_id,
        payment.order_group_id,
        payment.payment_provider,
        payment.buyer_id,
        request_id,
        fingerprint,
        method,
        return_url,
        payment.amount_minor,
        payment.currency,
        AttemptState.PENDING.value,
        now,
    )
    return _ATTEMPT.optional(row)


async def find_attempt(connection: Connection, buyer_id: UUID, request_id: UUID) -> Attempt | None:
    """The attempt of a request."""
    row = await connection.fetchrow(
        f"SELECT {_ATTEMPT.sql} FROM payment_attempts WHERE buyer_id = $1 AND request_id = $2", buyer_id, request_id
    )
    return _ATTEMPT.optional(row)


async def find_captured(connection: Connection, payment_id: UUID, method: str) -> Attempt | None:
    """The attempt that paid, when it was with this method."""
    row = await connection.fetchrow(
        f"SELECT {_ATTEMPT.sql} FROM payment_attempts"
        " WHERE payment_id = $1 AND method = $2 AND state = $3 AND NOT late LIMIT 1",
        payment_id,
        method,
        AttemptState.CAPTURED.value,
    )
    return _ATTEMPT.optional(row)


async def read_attempt(connection: Connection, attempt_id: UUID) -> Attempt | None:
    """An attempt."""
    row = await connection.fetchrow(f"SELECT {_ATTEMPT.sql} FROM payment_attempts WHERE attempt_id = $1", attempt_id)
    return _ATTEMPT.optional(row)


async def lock_attempt(connection: Connection, attempt_id: UUID) -> Attempt | None:
    """Lock an attempt; its payment's row is locked already."""
    row = await connection.fetchrow(
        f"SELECT {_ATTEMPT.sql} FROM payment_attempts WHERE attempt_id = $1 FOR UPDATE", attempt_id
    )
    return _ATTEMPT.optional(row)


async def read_unsettled(connection: Connection, order_group_id: UUID) -> list[Attempt]:
    """The group's attempts that the provider may still answer, oldest first."""
    rows = await connection.fetch(
        f"SELECT {_ATTEMPT.sql} FROM payment_attempts WHERE order_group_id = $1 AND state = ANY($2::text[])"
        " ORDER BY number",
        order_group_id,
        _UNSETTLED,
    )
    return _ATTEMPT.values(rows)


async def read_stuck(connection: Connection, now: datetime, age: timedelta, limit: int) -> list[UUID]:
    """Attempts whose outcome nobody has learned for `age`."""
    rows = await connection.fetch(
        "SELECT attempt_id FROM payment_attempts WHERE state = $1 AND update_time < $2 ORDER BY update_time LIMIT $3",
        AttemptState.PENDING.value,
        now - age,
        limit,
    )
    return [row["attempt_id"] for row in rows]


async def save_outcome(
    connection: Connection, attempt_id: UUID, outcome: ChargeOutcome, now: datetime, *, late: bool
) -> None:
    """Write what the provider said of a locked attempt."""
    await connection.execute(
        "UPDATE payment_attempts SET state = $2, late = $3, redirect_url = $4, decline_code = $5,"
        " decline_message = $6, update_time = $7 WHERE attempt_id = $1",
        attempt_id,
        outcome.state.value,
        late,
        outcome.redirect_url,
        outcome.decline_code,
        outcome.decline_message,
        now,
    )


async def read_charge_key(connection: Connection, payment_id: UUID) -> str | None:
    """The provider's key of the charge that paid."""
    key: str | None = await connection.fetchval(
        "SELECT key FROM payment_attempts WHERE payment_id = $1 AND state = $2 AND NOT late ORDER BY number LIMIT 1",
        payment_id,
        AttemptState.CAPTURED.value,
    )
    return key


async def read_late_key(connection: Connection, payment_id: UUID) -> str | None:
    """The provider's key of the charge that came too late, where none of the payment's came in time."""
    row = await connection.fetchrow(
        "SELECT key, late FROM payment_attempts WHERE payment_id = $1 AND state = $2 ORDER BY late, number LIMIT 1",
        payment_id,
        AttemptState.CAPTURED.value,
    )
    return row["key"] if row is not None and row["late"] else None
