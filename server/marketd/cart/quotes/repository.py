"""Every SQL statement of quotes, on the unit of work's asyncpg connection."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.kernel.db.database import Connection

# Taking a quote also locks its owner's cart, one statement less for PlaceOrder.
_TAKE = """
WITH taken AS (
  UPDATE quotes SET use_time = $3
  WHERE quote_id = $1 AND user_id = $2 AND use_time IS NULL AND expire_time > $3
  RETURNING payload
), cart AS (
  UPDATE carts SET version = version + 1, update_time = $3
  WHERE user_id = $2 AND EXISTS (SELECT 1 FROM taken)
)
SELECT payload::text FROM taken
"""


async def store(
    connection: Connection, quote_id: UUID, user_id: UUID, payload: str, now: datetime, expire_time: datetime
) -> None:
    """Keep a quote. payload: JSON."""
    await connection.execute(
        "INSERT INTO quotes (quote_id, user_id, payload, create_time, expire_time) VALUES ($1, $2, $3::jsonb, $4, $5)",
        quote_id,
        user_id,
        payload,
        now,
        expire_time,
    )


async def take(connection: Connection, quote_id: UUID, user_id: UUID, now: datetime) -> str | None:
    """Mark the account's unexpired, unused quote as used and lock its cart; the payload, or None."""
    payload: str | None = await connection.fetchval(_TAKE, quote_id, user_id, now)
    return payload
