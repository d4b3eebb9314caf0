"""Every SQL statement of orders, on the unit of work's asyncpg connection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import orjson

from marketd.cart import service as carts
from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.database import Connection, is_unique_violation
from marketd.kernel.db.sql import Arrays, Columns
from marketd.kernel.events.events import to_json
from marketd.kernel.values.address import Address
from marketd.order.cancellations import Cancellation
from marketd.order.discounts import OrderPromotion
from marketd.order.history.values import OrderStep
from marketd.order.model import OrderState
from marketd.order.values import (
    CHANGEABLE,
    Order,
    OrderGroup,
    OrderItem,
    OrdersWaiting,
    changeable_of,
)
from marketd.payment import service as payments
from marketd.payment.values import Payment


# ruff: noqa: S608 - every interpolated part is one of the constants here
def _address(found: object) -> Address | None:
    return None if found is None else Address.from_json(found)


def _address_text(address: Address | None) -> str | None:
    return None if address is None else address.to_json_text()


def _promotions_text(promotions: Sequence[OrderPromotion]) -> str:
    return to_json([promotion.to_json() for promotion in promotions]) if promotions else "[]"


_ITEM = Columns(OrderItem, table="i", expressions={"options": "i.options::text"}, readers={"options": orjson.loads})
ORDER = Columns(
    Order,
    table="o",
    expressions={
        "payment_id": "g.payment_id",
        "payment_expire_time": "g.payment_expire_time",
        "items": f"ARRAY(SELECT {_ITEM.row_sql} FROM order_items i WHERE i.order_id = o.order_id ORDER BY i.item_id)",
    },
    readers={
        "pickup": _address,
        "address": _address,
        "items": lambda rows: tuple(map(_ITEM.from_tuple, rows)),
        "cancellations": lambda found: tuple(map(Cancellation.from_json, found)),
        "promotions": lambda found: tuple(map(OrderPromotion.from_json, found)),
    },
)
FROM = f"SELECT {ORDER.sql} FROM orders o JOIN order_groups g USING (order_group_id)"
_GROUP = Columns(OrderGroup)
_WAITING = Columns(OrdersWaiting, expressions={"count": "count(*)", "due_minor": "COALESCE(sum(due_minor), 0)::bigint"})

# What each order of a group and each item has of its own. What all have in common goes over once, see _INSERT.
_ORDERS: Arrays[Order] = Arrays(
    {
        "order_id": "uuid",
        "order_number": "text",
        "seller_id": "uuid",
        "owner_user_id": "uuid",
        "shop_name": "text",
        "pickup": "jsonb",
        "address": "jsonb",
        "subtotal_minor": "bigint",
        "discount_amount_minor": "bigint",
        "delivery_fee_minor": "bigint",
        "delivery_discount_amount_minor": "bigint",
        "promotions": "jsonb",
        "total_minor": "bigint",
        "due_minor": "bigint",
        "delivery_tax_rate": "int",
        "delivery_tax_amount_minor": "bigint",
        "usual_prep_duration": "interval",
        "shop_open_time": "timestamptz",
        "eta_earliest_time": "timestamptz",
        "eta_latest_time": "timestamptz",
    },
    writers={"pickup": _address_text, "address": _address_text, "promotions": _promotions_text},
)
_ITEMS: Arrays[OrderItem] = Arrays(
    {
        "item_id": "uuid",
        "variant_id": "uuid",
        "product_id": "uuid",
        "title": "text",
        "sku": "text",
        "options": "jsonb",
        "image_url": "text",
        "image_media_id": "uuid",
        "quantity": "int",
        "unit_price_minor": "bigint",
        "discount_amount_minor": "bigint",
        "tax_rate": "int",
        "tax_amount_minor": "bigint",
        "requires_shipping": "bool",
    },
    writers={"options": to_json},
)
_FIRST_ITEM: Final = 10 + len(_ORDERS)


def _item_place(column: str) -> str:
    return f"${_FIRST_ITEM + _ITEMS.names.index(column)}"


# What belongs to others and is written with the orders, for one round trip less each: their payment, and the cart,
# which loses what they hold.
_INSERT = f"""
WITH grp AS (
  INSERT INTO order_groups
    (order_group_id, buyer_id, quote_id, payment_id, total_minor, currency, payment_expire_time, create_time)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
), placed AS (
  INSERT INTO orders
    (order_group_id, buyer_id, currency, create_time, update_time, state, version, {_ORDERS.sql})
  SELECT $1, $2, $6, $8, $8, 'PENDING_PAYMENT', 1, {_ORDERS.select("n")}
  FROM unnest({_ORDERS.places(10)}) AS n({_ORDERS.sql})
  RETURNING order_id, buyer_id, seller_id
), told AS (
  INSERT INTO order_events (order_id, number, buyer_id, seller_id, occur_time, kind, actor, previous_state, state)
  SELECT order_id, 1, buyer_id, seller_id, $8, 'PLACED', 'BUYER', 'PENDING_PAYMENT', 'PENDING_PAYMENT' FROM placed
), asked AS ({payments.insert_sql(_FIRST_ITEM + len(_ITEMS))}
), {carts.take_ordered_sql("$2", _item_place("variant_id"), _item_place("quantity"), "$8")}
INSERT INTO order_items (order_id, {_ITEMS.sql})
SELECT i.order_id, {_ITEMS.select("i")}
FROM unnest($9::uuid[], {_ITEMS.places(_FIRST_ITEM)}) AS i(order_id, {_ITEMS.sql})
"""

_SAVE_QUIETLY = (
    "UPDATE orders SET "
    + ", ".join(f"{name} = ${place}" for place, name in enumerate(CHANGEABLE, start=3))
    + " WHERE order_id = $1 AND version = $2"
)
_KIND, _ACTOR, _PREVIOUS, _DETAIL = (f"${place}" for place in range(len(CHANGEABLE) + 3, len(CHANGEABLE) + 7))
_SAVE = f"""
WITH saved AS ({_SAVE_QUIETLY} RETURNING order_id, version, buyer_id, seller_id, update_time, state)
INSERT INTO order_events
  (order_id, number, buyer_id, seller_id, occur_time, kind, actor, previous_state, state, detail)
SELECT order_id, version, buyer_id, seller_id, update_time,
  {_KIND}, {_ACTOR}, {_PREVIOUS}, state, {_DETAIL}::text::jsonb
FROM saved
"""


async def insert(connection: Connection, quote_id: UUID, orders: Sequence[Order], payment: Payment) -> None:
    """Write a group with its orders, items and payment, and take the items out of the buyer's cart, in one statement.

    orders: 1 or more of one group, unique seller_id; in all unique variant_id. The cart is locked.
    Raises ConcurrentUpdate when an order number is taken, which a repeat gets past.
    """
    first = orders[0]
    try:
        await connection.execute(
            _INSERT,
            first.order_group_id,
            first.buyer_id,
            quote_id,
            first.payment_id,
            sum(order.total_minor for order in orders),
            first.currency,
            first.payment_expire_time,
            first.create_time,
            [order.order_id for order in orders for _ in order.items],
            *_ORDERS.of(orders),
            *_ITEMS.of([item for order in orders for item in order.items]),
            *payments.insert_arguments(payment),
        )
    except asyncpg.UniqueViolationError as error:
        if is_unique_violation(error, "uq_orders_order_number"):
            raise ConcurrentUpdate from error
        raise


async def read(connection: Connection, order_id: UUID) -> Order | None:
    """An order as it is committed now."""
    row = await connection.fetchrow(f"{FROM} WHERE o.order_id = $1", order_id)
    return ORDER.optional(row)


async def read_of_item(connection: Connection, item_id: UUID) -> Order | None:
    """The order that has this line, as it is committed now."""
    row = await connection.fetchrow(
        f"{FROM} WHERE o.order_id = (SELECT order_id FROM order_items WHERE item_id = $1)", item_id
    )
    return ORDER.optional(row)


async def read_many(connection: Connection, order_ids: Collection[UUID]) -> dict[UUID, Order]:
    """Those of the orders that there are, as they are committed now."""
    rows = await connection.fetch(f"{FROM} WHERE o.order_id = ANY($1::uuid[])", list(order_ids))
    return {order.order_id: order for order in ORDER.values(rows)}


async def lock(connection: Connection, order_id: UUID) -> Order | None:
    """Lock an order, then read it: one statement would read the items as they were before it waited for the lock."""
    found = await connection.fetchval("SELECT order_id FROM orders WHERE order_id = $1 FOR UPDATE", order_id)
    return None if found is None else await read(connection, order_id)


async def group_of(connection: Connection, order_id: UUID) -> UUID | None:
    """The group of an order; it never changes."""
    group_id: UUID | None = await connection.fetchval("SELECT order_group_id FROM orders WHERE order_id = $1", order_id)
    return group_id


async def group_with_codes(connection: Connection, order_id: UUID) -> UUID | None:
    """The group of an order that was placed with promo codes; None of another. Neither ever changes."""
    group_id: UUID | None = await connection.fetchval(
        "SELECT order_group_id FROM orders WHERE order_id = $1 AND promotions <> '[]'", order_id
    )
    return group_id


async def lock_group(connection: Connection, order_group_id: UUID) -> OrderGroup | None:
    """Lock a group, before its payments and orders."""
    row = await connection.fetchrow(
        f"SELECT {_GROUP.sql} FROM order_groups WHERE order_group_id = $1 FOR UPDATE", order_group_id
    )
    return _GROUP.optional(row)


async def lock_orders(connection: Connection, order_group_id: UUID) -> list[Order]:
    """Lock a group's orders in id order and read them; the group is locked already."""
    await connection.fetch(
        "SELECT order_id FROM orders WHERE order_group_id = $1 ORDER BY order_id FOR UPDATE", order_group_id
    )
    return await read_group(connection, order_group_id)


async def read_group(connection: Connection, order_group_id: UUID) -> list[Order]:
    """A group's orders in id order, without locking them."""
    rows = await connection.fetch(f"{FROM} WHERE o.order_group_id = $1 ORDER BY o.order_id", order_group_id)
    return ORDER.values(rows)


async def read_waiting(connection: Connection, order_group_id: UUID) -> OrdersWaiting:
    """What of a locked group waits for money."""
    row = await connection.fetchrow(
        f"SELECT {_WAITING.sql} FROM orders WHERE order_group_id = $1 AND state = $2",
        order_group_id,
        OrderState.PENDING_PAYMENT.value,
    )
    return _WAITING.optional(row) or OrdersWaiting(0, 0)


async def set_payment(connection: Connection, order_group_id: UUID, payment_id: UUID) -> None:
    """Write down the group's latest payment."""
    await connection.execute(
        "UPDATE order_groups SET payment_id = $2 WHERE order_group_id = $1", order_group_id, payment_id
    )


async def save(connection: Connection, order: Order, before_version: int, step: OrderStep) -> None:
    """Write what can change of a locked order, and the step of its story that it is."""
    tag = await connection.execute(
        _SAVE,
        order.order_id,
        before_version,
        *changeable_of(order),
        step.kind.value,
        step.actor.value,
        step.previous_state.value,
        to_json(step.detail),
    )
    _check_saved(tag, "INSERT 0 1", order)


async def save_quietly(connection: Connection, order: Order, before_version: int) -> None:
    """Write what can change of a locked order where that shows nowhere."""
    tag = await connection.execute(_SAVE_QUIETLY, order.order_id, before_version, *changeable_of(order))
    _check_saved(tag, "UPDATE 1", order)


def _check_saved(tag: str, expected: str, order: Order) -> None:
    if tag != expected:
        raise RuntimeError(f"order {order.order_id} was changed by somebody who did not lock it")


async def save_items(connection: Connection, order: Order) -> None:
    """Write how much of each item of a locked order is cancelled."""
    await connection.execute(
        "UPDATE order_items i SET cancelled_quantity = n.cancelled"
        " FROM unnest($2::uuid[], $3::int[]) AS n(item_id, cancelled)"
        " WHERE i.order_id = $1 AND i.item_id = n.item_id AND i.cancelled_quantity <> n.cancelled",
        order.order_id,
        [item.item_id for item in order.items],
        [item.cancelled_quantity for item in order.items],
    )


async def save_cancellations(connection: Connection, order: Order) -> None:
    """Write the cancellations of a locked order."""
    await connection.execute(
        "UPDATE orders SET cancellations = $2::text::jsonb WHERE order_id = $1",
        order.order_id,
        to_json([cancellation.to_json() for cancellation in order.cancellations]),
    )


async def forget_buyer(connection: Connection, buyer_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
    """Leave only city, postal code and region of the addresses of one batch of the buyer's orders, and no words of the
    buyer's; their ids, sorted.

    The version stays: what is taken out is the buyer's alone, who is gone.
    """
    rows = await connection.fetch(_FORGET_BUYER, buyer_id, after, limit)
    return sorted(row["order_id"] for row in rows)


async def forget_shop(connection: Connection, seller_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
    """The same for the shop's door in one batch of its orders, when its owner is gone."""
    rows = await connection.fetch(_FORGET_SHOP, seller_id, after, limit)
    return sorted(row["order_id"] for row in rows)


_FORGET = """
WITH batch AS (
  SELECT order_id FROM orders WHERE {whose} = $1 AND ($2::uuid IS NULL OR order_id > $2)
  ORDER BY order_id LIMIT $3 FOR UPDATE
)
UPDATE orders o SET {address} = CASE WHEN o.{address} IS NOT NULL THEN jsonb_build_object(
  'city', o.{address} -> 'city', 'postal_code', o.{address} -> 'postal_code',
  'region', o.{address} -> 'region', 'region_code', o.{address} -> 'region_code') END{more}
FROM batch b WHERE o.order_id = b.order_id RETURNING o.order_id
"""
_WORDLESS = """, cancellations = (
  SELECT coalesce(jsonb_agg(CASE WHEN c ->> 'actor' = 'BUYER' THEN c || '{"note": ""}' ELSE c END ORDER BY place), '[]')
  FROM jsonb_array_elements(o.cancellations) WITH ORDINALITY AS each (c, place))"""
_FORGET_BUYER: Final = _FORGET.format(whose="buyer_id", address="address", more=_WORDLESS)
_FORGET_SHOP: Final = _FORGET.format(whose="seller_id", address="pickup", more="")
