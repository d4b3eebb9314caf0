"""Every SQL statement of quotes, on the unit of work's asyncpg connection."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.auth import service as auth
from marketd.kernel.db.database import Connection
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is one of the constants here
# One statement, because each costs PlaceOrder as much as a tenth of its time. It locks in the order of all locks: the
# account and the shops are held first, so that none of them ends beside the order (whoever ends one looks for open
# orders after it has the row), then the quote, then its owner's cart. What a quote names never changes, so the shops
# are read from it before it is locked. A subquery that depends on nothing is run once, before rows are looked for.
_SHOPS = (
    "ARRAY(SELECT (p ->> 'seller_id')::uuid FROM quotes q, jsonb_array_elements(q.payload -> 'packages') p"
    " WHERE q.quote_id = $1 AND q.user_id = $2)"
)
_TAKE = f"""
WITH account AS ({auth.hold_active_sql("$2")}
), shops AS ({sellers.hold_sql(_SHOPS)}
), taken AS (
  UPDATE quotes SET use_time = $3
  WHERE (SELECT count(*) FROM account) = 1 AND (SELECT count(*) FROM shops) >= 0
    AND quote_id = $1 AND user_id = $2 AND use_time IS NULL AND expire_time > $3
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
    """Mark the account's unexpired, unused quote as used; the payload, or None. See _TAKE for what is locked by it."""
    payload: str | None = await connection.fetchval(_TAKE, quote_id, user_id, now)
    return payload


async def delete_all(connection: Connection, user_id: UUID) -> None:
    """Remove the account's quotes; they hold addresses."""
    await connection.execute("DELETE FROM quotes WHERE user_id = $1", user_id)
