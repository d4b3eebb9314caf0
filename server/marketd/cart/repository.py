"""Every SQL statement of the cart, on the unit of work's asyncpg connection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.cart.model import MAX_LINE_QUANTITY
from marketd.cart.values import Cart, CartItem, LockedCart
from marketd.inventory import service as inventory
from marketd.inventory.values import Availability
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arrays, Columns
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money

# ruff: noqa: S608 - every interpolated part is one of the constants here
_OPEN = """
INSERT INTO carts (cart_id, user_id, version, create_time, update_time) VALUES ($1, $2, 1, $3, $3)
ON CONFLICT (user_id) DO NOTHING
"""

# The cart's upsert takes its row lock, and the item is written after it, so adds that run at once are one after the
# other. None comes back when the sum would be too large.
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
RETURNING i.item_id
"""

# The cart's row is locked before (by taking the quote, or by `lock`), so each item is as this statement sees it.
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

# The stock comes with the items: a statement of its own would be one round trip more for every look at a cart.
_ITEM = Columns(
    CartItem,
    table="i",
    expressions={"availability": inventory.availability_sql("i.variant_id")},
    readers={"availability": Availability.read},
)
_CART = Columns(
    Cart,
    table="c",
    expressions={
        "guest": "c.user_id IS NULL",
        "items": f"ARRAY(SELECT {_ITEM.row_sql} FROM cart_items i WHERE i.cart_id = c.cart_id ORDER BY i.item_id)",
    },
    readers={"items": lambda rows: tuple(map(_ITEM.from_tuple, rows))},
)
_BY_USER = f"SELECT {_CART.sql} FROM carts c WHERE c.user_id = $1"
_BY_ID = f"SELECT {_CART.sql} FROM carts c WHERE c.cart_id = $1"

_LOCKED = Columns(LockedCart)
_LOCK = f"SELECT {_LOCKED.sql} FROM carts WHERE user_id = $1 FOR UPDATE"

# The version is raised by the statement that changes an item, and only when it has changed one.
_SET_QUANTITY = """
WITH changed AS (
  UPDATE cart_items SET quantity = $3, price_minor = COALESCE($4, price_minor), update_time = $5
  WHERE cart_id = $1 AND item_id = $2
)
UPDATE carts SET version = version + 1, update_time = $5 WHERE cart_id = $1
"""
_DELETE = """
WITH gone AS (DELETE FROM cart_items WHERE cart_id = $1 AND ($2::uuid IS NULL OR item_id = $2) RETURNING item_id)
UPDATE carts SET version = version + 1, update_time = $3 WHERE cart_id = $1 AND EXISTS (SELECT 1 FROM gone)
"""

_ITEMS: Arrays[CartItem] = Arrays(
    {
        "item_id": "uuid",
        "variant_id": "uuid",
        "quantity": "int",
        "price_minor": "bigint",
        "currency": "text",
        "create_time": "timestamptz",
        "update_time": "timestamptz",
    }
)
_PUT = f"""
INSERT INTO cart_items (cart_id, {_ITEMS.sql})
SELECT $1, {_ITEMS.select("n")} FROM unnest({_ITEMS.places(2)}) AS n({_ITEMS.sql})
ON CONFLICT (cart_id, variant_id) DO UPDATE SET quantity = excluded.quantity, update_time = excluded.update_time
"""


async def read_cart(connection: Connection, user_id: UUID) -> Cart | None:
    """The account's cart with its items; None before it ever held anything."""
    return _CART.optional(await connection.fetchrow(_BY_USER, user_id))


async def read_cart_by_id(connection: Connection, cart_id: UUID) -> Cart | None:
    """A cart with its items."""
    return _CART.optional(await connection.fetchrow(_BY_ID, cart_id))


async def open_cart(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Make the account's cart unless it has one."""
    await connection.execute(_OPEN, new_id(), user_id, now)


async def add_item(
    connection: Connection, user_id: UUID, variant_id: UUID, quantity: int, price: Money, now: datetime
) -> UUID | None:
    """Add pieces to the account's cart and keep it locked; the item's id, or None when it would be too large."""
    item_id: UUID | None = await connection.fetchval(
        _ADD, new_id(), user_id, now, new_id(), variant_id, quantity, price.amount_minor, price.currency
    )
    return item_id


async def lock(connection: Connection, user_id: UUID) -> LockedCart | None:
    """Lock the account's cart; None before it ever held anything."""
    return _LOCKED.optional(await connection.fetchrow(_LOCK, user_id))


async def set_quantity(
    connection: Connection, cart_id: UUID, item_id: UUID, quantity: int, price: Money | None, now: datetime
) -> None:
    """Set the quantity of a locked cart's item, and the price it was seen at where it has one."""
    await connection.execute(
        _SET_QUANTITY, cart_id, item_id, quantity, None if price is None else price.amount_minor, now
    )


async def delete_items(connection: Connection, cart_id: UUID, item_id: UUID | None, now: datetime) -> bool:
    """Remove an item of a locked cart, or all when none is named; whether anything was there."""
    return await connection.execute(_DELETE, cart_id, item_id, now) == "UPDATE 1"


async def take_ordered(
    connection: Connection, user_id: UUID, variant_ids: Sequence[UUID], quantities: Sequence[int], now: datetime
) -> None:
    """Take what was ordered out of the account's cart, which is locked; more pieces added meanwhile stay."""
    await connection.execute(_TAKE, user_id, list(variant_ids), list(quantities), now)


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
        "SELECT cart_id, user_id IS NULL AS guest FROM carts WHERE user_id = $1 OR guest_token_hash = $2"
        " ORDER BY cart_id FOR UPDATE",
        user_id,
        token_hash(guest_token),
    )
    return {row["guest"]: row["cart_id"] for row in rows}


async def put_items(connection: Connection, cart_id: UUID, items: Sequence[CartItem]) -> None:
    """Write items into a locked cart; one that is there gets the quantity. items: unique variant_id."""
    await connection.execute(_PUT, cart_id, *_ITEMS.of(items))


async def delete_cart(connection: Connection, cart_id: UUID) -> None:
    """Remove a cart with its items."""
    await connection.execute("DELETE FROM carts WHERE cart_id = $1", cart_id)


async def delete_cart_of(connection: Connection, user_id: UUID) -> None:
    """Remove the account's cart with its items."""
    await connection.execute("DELETE FROM carts WHERE user_id = $1", user_id)


async def raise_version(connection: Connection, cart_id: UUID, now: datetime) -> None:
    """Say that a locked cart changed."""
    await connection.execute(
        "UPDATE carts SET version = version + 1, update_time = $2 WHERE cart_id = $1", cart_id, now
    )
