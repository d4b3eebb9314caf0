"""Every SQL statement of quotes, on the unit of work's asyncpg connection."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.auth import service as auth
from marketd.cart.owner import CartOwner, OwnerKind
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
# The promo codes that the order uses leave the cart; those that had a problem stay.
_NOT_USED = (
    "ARRAY(SELECT u.id FROM unnest(promo_code_ids) WITH ORDINALITY AS u(id, place) WHERE u.id::text NOT IN"
    " (SELECT p ->> 'promo_code_id' FROM taken, jsonb_array_elements(payload -> 'promotions') p) ORDER BY u.place)"
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
  UPDATE carts SET version = version + 1, update_time = $3,
    promo_code_ids = CASE WHEN promo_code_ids = '{{}}' THEN promo_code_ids ELSE {_NOT_USED} END
  WHERE user_id = $2 AND EXISTS (SELECT 1 FROM taken)
)
SELECT payload::text FROM taken
"""


# A guest's cart is held until the quote is written, so whoever takes the cart along afterwards finds the quote as well;
# an account, so that whoever deletes it finds the address.
_STORE = {
    OwnerKind.ACCOUNT: "INSERT INTO quotes (user_id, quote_id, payload, create_time, expire_time)"
    f" SELECT a.user_id, $2, $3::jsonb, $4, $5 FROM ({auth.hold_active_sql('$1')}) a",
    OwnerKind.GUEST: "INSERT INTO quotes (guest_cart_id, quote_id, payload, create_time, expire_time)"
    f" SELECT c.cart_id, $2, $3::jsonb, $4, $5 FROM carts c WHERE {OwnerKind.GUEST.value} FOR KEY SHARE",
}


async def store(
    connection: Connection, quote_id: UUID, owner: CartOwner, payload: str, now: datetime, expire_time: datetime
) -> bool:
    """Keep a quote; False when a guest's cart is gone, or the account is not active. payload: JSON."""
    tag = await connection.execute(_STORE[owner.kind], owner.owner_id, quote_id, payload, now, expire_time)
    return tag == "INSERT 0 1"


async def give_to(connection: Connection, user_id: UUID, guest_cart_id: UUID, now: datetime) -> None:
    """Make the quotes of a guest's cart, which is locked, the account's, where they can still be ordered."""
    await connection.execute(
        "UPDATE quotes SET user_id = $1, guest_cart_id = NULL WHERE guest_cart_id = $2 AND expire_time > $3",
        user_id,
        guest_cart_id,
        now,
    )


async def take(connection: Connection, quote_id: UUID, user_id: UUID, now: datetime) -> str | None:
    """Mark the account's unexpired, unused quote as used; the payload, or None. See _TAKE for what is locked by it."""
    payload: str | None = await connection.fetchval(_TAKE, quote_id, user_id, now)
    return payload


async def delete_all(connection: Connection, user_id: UUID) -> None:
    """Remove the account's quotes; they hold addresses."""
    await connection.execute("DELETE FROM quotes WHERE user_id = $1", user_id)
