"""Every SQL statement of the cart, on the unit of work's asyncpg connection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from marketd.auth import service as auth
from marketd.cart.model import MAX_LINE_QUANTITY
from marketd.cart.owner import CartOwner, OwnerKind, for_each_kind
from marketd.cart.values import Cart, CartItem, LockedCart, MergingCarts
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

# The cart's own statement takes its row lock, and the item is written after it, so adds that run at once are one after
# the other. None comes back when the sum would be too large, when a guest's cart is gone, and for an account without a
# cart that is not active. An account that gets its cart is held: whoever deletes it finds the cart.
_ADD = {
    kind: f"""
WITH {cart}
)
INSERT INTO cart_items AS i (item_id, cart_id, variant_id, quantity, price_minor, currency, create_time, update_time)
SELECT $3, cart.cart_id, $4, $5, $6, $7, $2, $2 FROM cart
ON CONFLICT (cart_id, variant_id) DO UPDATE SET quantity = i.quantity + excluded.quantity,
  price_minor = excluded.price_minor, currency = excluded.currency, update_time = excluded.update_time
  WHERE i.quantity + excluded.quantity <= {MAX_LINE_QUANTITY}
RETURNING i.item_id
"""
    for kind, cart in {
        OwnerKind.ACCOUNT: f"""found AS (
  UPDATE carts SET version = version + 1, update_time = $2 WHERE user_id = $1 RETURNING cart_id
), account AS (
  {auth.hold_active_sql("(SELECT $1::uuid WHERE NOT EXISTS (SELECT 1 FROM found))")}
), made AS (
  INSERT INTO carts AS c (cart_id, user_id, version, create_time, update_time)
  SELECT $8, a.user_id, 1, $2, $2 FROM account a
  ON CONFLICT (user_id) DO UPDATE SET version = c.version + 1, update_time = excluded.update_time
  RETURNING cart_id
), cart AS (
  SELECT cart_id FROM found UNION ALL SELECT cart_id FROM made""",
        OwnerKind.GUEST: """cart AS (
  UPDATE carts SET version = version + 1, update_time = $2 WHERE cart_id = $1 AND user_id IS NULL RETURNING cart_id""",
    }.items()
}

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
        "items": f"ARRAY(SELECT {_ITEM.row_sql} FROM cart_items i WHERE i.cart_id = c.cart_id ORDER BY i.item_id)",
    },
    readers={"items": lambda rows: tuple(map(_ITEM.from_tuple, rows))},
)
_READ = for_each_kind(lambda owned: f"SELECT {_CART.sql} FROM carts c WHERE {owned}")
_READ_ALL = f"SELECT {_CART.sql} FROM carts c WHERE c.cart_id = ANY($1)"

_LOCKED = Columns(LockedCart, table="c")
_LOCK = for_each_kind(lambda owned: f"SELECT {_LOCKED.sql} FROM carts c WHERE {owned} FOR UPDATE")

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
UPDATE carts SET version = version + 1, update_time = $3,
  promo_code_ids = CASE WHEN $2::uuid IS NULL THEN '{}' ELSE promo_code_ids END
WHERE cart_id = $1 AND (EXISTS (SELECT 1 FROM gone) OR ($2::uuid IS NULL AND promo_code_ids <> '{}'))
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

# Sorted before they are locked: who holds one of two carts waits only for one with a greater id.
_LOCK_BOTH = """
SELECT c.cart_id, c.user_id FROM carts c WHERE c.user_id = $1 OR (c.cart_id = $2 AND c.user_id IS NULL)
ORDER BY c.cart_id FOR UPDATE
"""

# Whoever holds a cart is about to change it, or to take it along: it is left for the next time. Since nothing is waited
# for, the order is that of the index.
_SWEEP = """
DELETE FROM carts WHERE cart_id IN (
  SELECT cart_id FROM carts WHERE user_id IS NULL AND create_time < $1 AND update_time < $1
  ORDER BY create_time LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


async def read_cart(connection: Connection, owner: CartOwner) -> Cart | None:
    """The owner's cart with its items; None before an account's ever held anything, and when a guest's is gone."""
    return _CART.optional(await connection.fetchrow(_READ[owner.kind], owner.owner_id))


async def read_carts(connection: Connection, cart_ids: Collection[UUID]) -> dict[UUID, Cart]:
    """Those of these carts that are there, with their items."""
    return {cart.cart_id: cart for cart in _CART.values(await connection.fetch(_READ_ALL, cart_ids))}


async def read_versions(connection: Connection, cart_ids: Collection[UUID]) -> dict[UUID, int]:
    """The versions of those of these carts that are there."""
    rows = await connection.fetch("SELECT cart_id, version FROM carts WHERE cart_id = ANY($1)", cart_ids)
    return {row["cart_id"]: row["version"] for row in rows}


async def open_cart(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Make the account's cart unless it has one."""
    await connection.execute(_OPEN, new_id(), user_id, now)


async def open_guest_cart(connection: Connection, cart_id: UUID, now: datetime) -> None:
    """Make a guest's cart."""
    await connection.execute(
        "INSERT INTO carts (cart_id, version, create_time, update_time) VALUES ($1, 1, $2, $2)", cart_id, now
    )


async def add_item(
    connection: Connection, owner: CartOwner, variant_id: UUID, quantity: int, price: Money, now: datetime
) -> UUID | None:
    """Add pieces to the owner's cart and keep it locked.

    The item's id; None when it would be too large, when a guest's cart is gone, and when an account without a cart is
    not active.
    """
    arguments = (owner.owner_id, now, new_id(), variant_id, quantity, price.amount_minor, price.currency)
    if owner.is_guest:
        item_id: UUID | None = await connection.fetchval(_ADD[OwnerKind.GUEST], *arguments)
    else:
        item_id = await connection.fetchval(_ADD[OwnerKind.ACCOUNT], *arguments, new_id())
    return item_id


async def lock(connection: Connection, owner: CartOwner) -> LockedCart | None:
    """Lock the owner's cart; None before an account's ever held anything, and when a guest's is gone."""
    return _LOCKED.optional(await connection.fetchrow(_LOCK[owner.kind], owner.owner_id))


async def set_quantity(
    connection: Connection, cart_id: UUID, item_id: UUID, quantity: int, price: Money | None, now: datetime
) -> None:
    """Set the quantity of a locked cart's item, and the price it was seen at where it has one."""
    await connection.execute(
        _SET_QUANTITY, cart_id, item_id, quantity, None if price is None else price.amount_minor, now
    )


async def delete_items(connection: Connection, cart_id: UUID, item_id: UUID | None, now: datetime) -> bool:
    """Remove an item of a locked cart, or all and the promo codes when none is named; whether anything was there."""
    return await connection.execute(_DELETE, cart_id, item_id, now) == "UPDATE 1"


async def set_promo_codes(connection: Connection, cart_id: UUID, promo_code_ids: Sequence[UUID], now: datetime) -> None:
    """Write the promo codes of a locked cart. promo_code_ids: unique, in the order applied."""
    await connection.execute(
        "UPDATE carts SET promo_code_ids = $2, version = version + 1, update_time = $3 WHERE cart_id = $1",
        cart_id,
        list(promo_code_ids),
        now,
    )


def take_ordered_sql(user_id: str, variant_ids: str, quantities: str, now: str) -> str:
    """service.take_ordered_sql."""
    return f"""ordered AS (
  SELECT o.variant_id, o.quantity, c.cart_id FROM carts c,
    unnest({variant_ids}::uuid[], {quantities}::int[]) AS o(variant_id, quantity) WHERE c.user_id = {user_id}
), less AS (
  UPDATE cart_items i SET quantity = i.quantity - o.quantity, update_time = {now} FROM ordered o
  WHERE i.cart_id = o.cart_id AND i.variant_id = o.variant_id AND i.quantity > o.quantity
), gone AS (
  DELETE FROM cart_items i USING ordered o
  WHERE i.cart_id = o.cart_id AND i.variant_id = o.variant_id AND i.quantity <= o.quantity
)"""


# -- merging and ending


async def lock_both(connection: Connection, user_id: UUID, guest_cart_id: UUID) -> MergingCarts:
    """Lock the account's and the guest's cart, in id order."""
    rows = await connection.fetch(_LOCK_BOTH, user_id, guest_cart_id)
    found = {row["user_id"] is None: row["cart_id"] for row in rows}
    return MergingCarts(found.get(True), found.get(False))


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


async def delete_old_guest_carts(connection: Connection, before: datetime, most: int) -> int:
    """Remove guests' carts that nobody has changed since then, with what hangs on them; how many went."""
    return int((await connection.execute(_SWEEP, before, most)).rsplit(" ", 1)[-1])
