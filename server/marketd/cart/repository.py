"""Every SQL statement of the cart, on the unit of work's asyncpg connection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.cart.model import MAX_LINE_QUANTITY
from marketd.cart.values import StoredCart, StoredLine
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money

_CART = """
SELECT c.cart_id, c.user_id IS NULL AS is_guest, c.version, c.create_time, c.update_time,
  i.item_id, i.variant_id, i.quantity, i.price_minor, i.currency,
  i.create_time AS line_create_time, i.update_time AS line_update_time
FROM carts c LEFT JOIN cart_items i ON i.cart_id = c.cart_id
WHERE {where} ORDER BY i.item_id
"""
_BY_ACCOUNT = _CART.format(where="c.user_id = $1")
_BY_ID = _CART.format(where="c.cart_id = $1")

_OPEN = """
INSERT INTO carts (cart_id, user_id, version, create_time, update_time) VALUES ($1, $2, 1, $3, $3)
ON CONFLICT (user_id) DO NOTHING
"""

# The cart's upsert takes its row lock, and the line is written after it, so adds that run at once are one after the
# other. No line comes back when the sum would be too large.
_ADD = f"""
WITH cart AS (
  INSERT INTO carts AS c (cart_id, user_id, version, create_time, update_time) VALUES ($1, $2, 1, $3, $3)
  ON CONFLICT (user_id) DO UPDATE SET version = c.version + 1, update_time = excluded.update_time
  RETURNING cart_id
)
INSERT INTO cart_items AS i (item_id, cart_id, variant_id, quantity, price_minor, currency, create_time, update_time)
SELECT $4, cart.cart_id, $5, $6, $7, $8, $3, $3 FROM cart
ON CONFLICT (cart_id, variant_id) DO UPDATE SET quantity = i.quantity + excluded.quantity,
  price_minor = excluded.price_minor, currency = excluded.currency, update_time = excluded.update_time
  WHERE i.quantity + excluded.quantity <= {MAX_LINE_QUANTITY}
RETURNING i.item_id, i.cart_id
"""  # noqa: S608 - a constant

_TOUCH = """
UPDATE carts SET version = version + 1, update_time = $2 WHERE user_id = $1 RETURNING cart_id, version - 1 AS before
"""

# The cart's row is locked before (take_quote or touch), so each line is as this statement sees it.
_TAKE = """
WITH ordered AS (
  SELECT o.variant_id, o.quantity, c.cart_id FROM carts c,
    unnest($2::uuid[], $3::int[]) AS o(variant_id, quantity) WHERE c.user_id = $1
), less AS (
  UPDATE cart_items i SET quantity = i.quantity - o.quantity, update_time = $4 FROM ordered o
  WHERE i.cart_id = o.cart_id AND i.variant_id = o.variant_id AND i.quantity > o.quantity
)
DELETE FROM cart_items i USING ordered o
WHERE i.cart_id = o.cart_id AND i.variant_id = o.variant_id AND i.quantity <= o.quantity
"""

# Taking a quote also locks its owner's cart, one statement less for PlaceOrder.
_TAKE_QUOTE = """
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


def _stored_cart(rows: Sequence[Record]) -> StoredCart | None:
    if not rows:
        return None
    first = rows[0]
    lines = tuple(
        StoredLine(
            row["item_id"],
            row["variant_id"],
            row["quantity"],
            Money(row["price_minor"], row["currency"]),
            row["line_create_time"],
            row["line_update_time"],
        )
        for row in rows
        if row["item_id"] is not None
    )
    return StoredCart(
        first["cart_id"], first["is_guest"], first["version"], first["create_time"], first["update_time"], lines
    )


async def read_cart(connection: Connection, user_id: UUID) -> StoredCart | None:
    """The account's cart with its lines; None before it ever held anything."""
    return _stored_cart(await connection.fetch(_BY_ACCOUNT, user_id))


async def read_cart_by_id(connection: Connection, cart_id: UUID) -> StoredCart | None:
    """A cart with its lines."""
    return _stored_cart(await connection.fetch(_BY_ID, cart_id))


async def open_cart(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Make the account's cart unless it has one."""
    await connection.execute(_OPEN, new_id(), user_id, now)


async def add_line(
    connection: Connection, user_id: UUID, variant_id: UUID, quantity: int, price: Money, now: datetime
) -> UUID | None:
    """Add pieces to the account's cart and keep it locked; the line's id, or None when the line would be too large."""
    row = await connection.fetchrow(
        _ADD, new_id(), user_id, now, new_id(), variant_id, quantity, price.amount_minor, price.currency
    )
    return None if row is None else row["item_id"]


async def touch(connection: Connection, user_id: UUID, now: datetime) -> tuple[UUID, int] | None:
    """Lock the account's cart and raise its version; its id and the version before."""
    row = await connection.fetchrow(_TOUCH, user_id, now)
    return None if row is None else (row["cart_id"], row["before"])


async def set_line(
    connection: Connection, cart_id: UUID, item_id: UUID, quantity: int, price: Money | None, now: datetime
) -> None:
    """Set a line's quantity, and the price it was seen at where it has one."""
    await connection.execute(
        "UPDATE cart_items SET quantity = $3, price_minor = COALESCE($4, price_minor), update_time = $5"
        " WHERE cart_id = $1 AND item_id = $2",
        cart_id,
        item_id,
        quantity,
        None if price is None else price.amount_minor,
        now,
    )


async def delete_line(connection: Connection, cart_id: UUID, item_id: UUID) -> bool:
    """Remove a line; whether it was there."""
    tag = await connection.execute("DELETE FROM cart_items WHERE cart_id = $1 AND item_id = $2", cart_id, item_id)
    return tag == "DELETE 1"


async def delete_lines(connection: Connection, cart_id: UUID) -> None:
    """Remove all lines."""
    await connection.execute("DELETE FROM cart_items WHERE cart_id = $1", cart_id)


async def take_ordered(
    connection: Connection, user_id: UUID, variant_ids: Sequence[UUID], quantities: Sequence[int], now: datetime
) -> None:
    """Take what was ordered out of the account's cart, which is locked; more pieces added meanwhile stay."""
    await connection.execute(_TAKE, user_id, list(variant_ids), list(quantities), now)


# -- quotes


async def store_quote(
    connection: Connection, quote_id: UUID, user_id: UUID, payload: str, now: datetime, expire_time: datetime
) -> None:
    """Keep a quote."""
    await connection.execute(
        "INSERT INTO quotes (quote_id, user_id, payload, create_time, expire_time) VALUES ($1, $2, $3::jsonb, $4, $5)",
        quote_id,
        user_id,
        payload,
        now,
        expire_time,
    )


async def take_quote(connection: Connection, quote_id: UUID, user_id: UUID, now: datetime) -> str | None:
    """Mark the account's unexpired, unused quote as used and lock its cart; the payload, or None."""
    payload: str | None = await connection.fetchval(_TAKE_QUOTE, quote_id, user_id, now)
    return payload


# -- guests


def token_hash(guest_token: str) -> bytes:
    """What is stored of a guest cart's token."""
    return hashlib.sha256(guest_token.encode()).digest()


async def open_guest_cart(connection: Connection, guest_token: str, now: datetime) -> UUID:
    """Make a guest's cart."""
    cart_id = new_id()
    await connection.execute(
        "INSERT INTO carts (cart_id, guest_token_hash, version, create_time, update_time) VALUES ($1, $2, 1, $3, $3)",
        cart_id,
        token_hash(guest_token),
        now,
    )
    return cart_id


async def lock_for_merge(connection: Connection, user_id: UUID, guest_token: str) -> dict[bool, UUID]:
    """Lock the account's and the guest's cart, in id order; cart ids by whether it is the guest's."""
    rows = await connection.fetch(
        "SELECT cart_id, user_id IS NULL AS is_guest FROM carts WHERE user_id = $1 OR guest_token_hash = $2"
        " ORDER BY cart_id FOR UPDATE",
        user_id,
        token_hash(guest_token),
    )
    return {row["is_guest"]: row["cart_id"] for row in rows}


async def put_lines(
    connection: Connection,
    cart_id: UUID,
    lines: Sequence[tuple[UUID, int, Money]],
    now: datetime,
) -> None:
    """Write lines (variant, quantity, price) into a locked cart; a line that is there gets the quantity."""
    await connection.execute(
        "INSERT INTO cart_items AS i"
        " (item_id, cart_id, variant_id, quantity, price_minor, currency, create_time, update_time)"
        " SELECT n.item_id, $1, n.variant_id, n.quantity, n.price_minor, n.currency, $7, $7"
        " FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::bigint[], $6::text[])"
        "   AS n(item_id, variant_id, quantity, price_minor, currency)"
        " ON CONFLICT (cart_id, variant_id) DO UPDATE SET quantity = excluded.quantity,"
        "   update_time = excluded.update_time",
        cart_id,
        [new_id() for _ in lines],
        [variant_id for variant_id, _, _ in lines],
        [quantity for _, quantity, _ in lines],
        [price.amount_minor for _, _, price in lines],
        [price.currency for _, _, price in lines],
        now,
    )


async def delete_cart(connection: Connection, cart_id: UUID) -> None:
    """Remove a cart with its lines."""
    await connection.execute("DELETE FROM carts WHERE cart_id = $1", cart_id)


async def raise_version(connection: Connection, cart_id: UUID, now: datetime) -> None:
    """Say that a locked cart changed."""
    await connection.execute(
        "UPDATE carts SET version = version + 1, update_time = $2 WHERE cart_id = $1", cart_id, now
    )
