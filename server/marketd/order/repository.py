"""Every SQL statement of orders, on the unit of work's asyncpg connection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.database import Connection, Record, is_unique_violation
from marketd.kernel.db.sql import Arguments
from marketd.kernel.values.address import Address
from marketd.order.model import IN_COURIERS_HANDS, CancellationActor, CancellationReason, OrderState
from marketd.order.values import CHANGEABLE, Item, Order

# ruff: noqa: S608 - every interpolated part is one of the constants here
_FROZEN = (
    "order_id",
    "order_number",
    "order_group_id",
    "buyer_id",
    "seller_id",
    "owner_user_id",
    "shop_name",
    "pickup",
    "address",
    "currency",
    "subtotal_minor",
    "discount_minor",
    "delivery_fee_minor",
    "total_minor",
    "usual_prep_minutes",
    "eta_earliest_time",
    "eta_latest_time",
    "create_time",
)
_COLUMNS = (
    ", ".join(f"o.{name}" for name in (*_FROZEN, *CHANGEABLE))
    + ", g.payment_id, g.payment_expire_time,"
    + " ARRAY(SELECT ROW(i.item_id, i.variant_id, i.product_id, i.title, i.sku, i.options::text, i.image_url,"
    + " i.quantity, i.cancelled_quantity, i.unit_price_minor, i.discount_minor)"
    + " FROM order_items i WHERE i.order_id = o.order_id ORDER BY i.item_id) AS items"
)
_FROM = f"SELECT {_COLUMNS} FROM orders o JOIN order_groups g USING (order_group_id)"

_INSERT = """
WITH grp AS (
  INSERT INTO order_groups
    (order_group_id, buyer_id, quote_id, payment_id, total_minor, currency, payment_expire_time, create_time)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
), placed AS (
  INSERT INTO orders
    (order_id, order_number, order_group_id, buyer_id, seller_id, owner_user_id, shop_name, pickup, address,
     currency, subtotal_minor, discount_minor, delivery_fee_minor, total_minor, due_minor, usual_prep_minutes,
     eta_earliest_time, eta_latest_time, create_time, update_time, state, version)
  SELECT n.order_id, n.order_number, $1, $2, n.seller_id, n.owner_user_id, n.shop_name, n.pickup::jsonb,
    $9::text::jsonb, $6, n.subtotal, n.discount, n.fee, n.total, n.total, n.prep, n.earliest, n.latest, $8, $8,
    'PENDING_PAYMENT', 1
  FROM unnest($10::uuid[], $11::text[], $12::uuid[], $13::uuid[], $14::text[], $15::text[], $16::bigint[],
    $17::bigint[], $18::bigint[], $19::bigint[], $20::int[], $21::timestamptz[], $22::timestamptz[])
    AS n(order_id, order_number, seller_id, owner_user_id, shop_name, pickup, subtotal, discount, fee, total, prep,
         earliest, latest)
)
INSERT INTO order_items
  (item_id, order_id, variant_id, product_id, title, sku, options, image_url, quantity, unit_price_minor,
   discount_minor)
SELECT i.item_id, i.order_id, i.variant_id, i.product_id, i.title, i.sku, i.options::jsonb, i.image_url, i.quantity,
  i.price, i.discount
FROM unnest($23::uuid[], $24::uuid[], $25::uuid[], $26::uuid[], $27::text[], $28::text[], $29::text[], $30::text[],
  $31::int[], $32::bigint[], $33::bigint[])
  AS i(item_id, order_id, variant_id, product_id, title, sku, options, image_url, quantity, price, discount)
"""

_SAVE = (
    "UPDATE orders SET "
    + ", ".join(f"{name} = ${place}" for place, name in enumerate(CHANGEABLE, start=3))
    + " WHERE order_id = $1 AND version = $2"
)


def _item(row: Sequence[Any]) -> Item:
    item_id, variant_id, product_id, title, sku, options, image_url, quantity, cancelled, price, discount = row
    return Item(
        item_id,
        variant_id,
        product_id,
        title,
        sku,
        json.loads(options),
        image_url,
        quantity,
        cancelled,
        price,
        discount,
    )


def _order(row: Record) -> Order:
    values: dict[str, Any] = dict(row)
    values["items"] = tuple(_item(item) for item in values["items"])
    values["pickup"] = None if values["pickup"] is None else Address.from_json(values["pickup"])
    values["address"] = Address.from_json(values["address"])
    values["state"] = OrderState(values["state"])
    if values["cancel_reason"] is not None:
        values["cancel_reason"] = CancellationReason(values["cancel_reason"])
        values["cancel_actor"] = CancellationActor(values["cancel_actor"])
    return Order(**values)


async def insert(connection: Connection, quote_id: UUID, orders: Sequence[Order]) -> None:
    """Write a group with its orders and lines in one statement. orders: at least one, all of one group.

    Raises ConcurrentUpdate when an order number is taken, which a repeat gets past.
    """
    first = orders[0]
    lines = [(order, item) for order in orders for item in order.items]
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
            first.address.to_json_text(),
            [order.order_id for order in orders],
            [order.order_number for order in orders],
            [order.seller_id for order in orders],
            [order.owner_user_id for order in orders],
            [order.shop_name for order in orders],
            [None if order.pickup is None else order.pickup.to_json_text() for order in orders],
            [order.subtotal_minor for order in orders],
            [order.discount_minor for order in orders],
            [order.delivery_fee_minor for order in orders],
            [order.total_minor for order in orders],
            [order.usual_prep_minutes for order in orders],
            [order.eta_earliest_time for order in orders],
            [order.eta_latest_time for order in orders],
            [item.item_id for _, item in lines],
            [order.order_id for order, _ in lines],
            [item.variant_id for _, item in lines],
            [item.product_id for _, item in lines],
            [item.title for _, item in lines],
            [item.sku for _, item in lines],
            [json.dumps(item.options, ensure_ascii=False) for _, item in lines],
            [item.image_url for _, item in lines],
            [item.quantity for _, item in lines],
            [item.unit_price_minor for _, item in lines],
            [item.discount_minor for _, item in lines],
        )
    except asyncpg.UniqueViolationError as error:
        if is_unique_violation(error, "uq_orders_order_number"):
            raise ConcurrentUpdate from error
        raise


async def read(connection: Connection, order_id: UUID) -> Order | None:
    """An order as it is committed now."""
    row = await connection.fetchrow(f"{_FROM} WHERE o.order_id = $1", order_id)
    return None if row is None else _order(row)


async def lock(connection: Connection, order_id: UUID) -> Order | None:
    """Lock an order and read it. Two statements: the lines are then read after whoever held the lock has committed."""
    found = await connection.fetchval("SELECT order_id FROM orders WHERE order_id = $1 FOR UPDATE", order_id)
    return None if found is None else await read(connection, order_id)


async def group_of(connection: Connection, order_id: UUID) -> UUID | None:
    """The group of an order; it never changes."""
    group_id: UUID | None = await connection.fetchval("SELECT order_group_id FROM orders WHERE order_id = $1", order_id)
    return group_id


@dataclass(frozen=True, slots=True)
class Group:
    """A locked group."""

    order_group_id: UUID
    buyer_id: UUID
    currency: str


async def lock_group(connection: Connection, order_group_id: UUID) -> Group | None:
    """Lock a group, before its payments and orders."""
    row = await connection.fetchrow(
        "SELECT order_group_id, buyer_id, currency FROM order_groups WHERE order_group_id = $1 FOR UPDATE",
        order_group_id,
    )
    return None if row is None else Group(*row)


async def lock_orders(connection: Connection, order_group_id: UUID) -> list[Order]:
    """Lock a group's orders in id order and read them; the group is locked already."""
    await connection.fetch(
        "SELECT order_id FROM orders WHERE order_group_id = $1 ORDER BY order_id FOR UPDATE", order_group_id
    )
    return await read_group(connection, order_group_id)


async def read_group(connection: Connection, order_group_id: UUID) -> list[Order]:
    """A group's orders in id order, without locking them."""
    rows = await connection.fetch(f"{_FROM} WHERE o.order_group_id = $1 ORDER BY o.order_id", order_group_id)
    return [_order(row) for row in rows]


async def waiting(connection: Connection, order_group_id: UUID) -> tuple[int, int]:
    """Of a locked group: how many orders wait for money, and how much of it."""
    row = await connection.fetchrow(
        "SELECT count(*) AS waiting, COALESCE(sum(due_minor), 0)::bigint AS due FROM orders"
        " WHERE order_group_id = $1 AND state = $2",
        order_group_id,
        OrderState.PENDING_PAYMENT.value,
    )
    return (0, 0) if row is None else (row["waiting"], row["due"])


async def set_payment(connection: Connection, order_group_id: UUID, payment_id: UUID) -> None:
    """The group's latest payment."""
    await connection.execute(
        "UPDATE order_groups SET payment_id = $2 WHERE order_group_id = $1", order_group_id, payment_id
    )


async def save(connection: Connection, order: Order, before_version: int) -> None:
    """Write what can change of a locked order."""
    tag = await connection.execute(
        _SAVE, order.order_id, before_version, *(getattr(order, name) for name in CHANGEABLE)
    )
    if tag != "UPDATE 1":
        raise RuntimeError(f"order {order.order_id} was changed by somebody who did not lock it")


async def save_items(connection: Connection, order: Order) -> None:
    """Write how much of each line of a locked order is cancelled."""
    await connection.execute(
        "UPDATE order_items i SET cancelled_quantity = n.cancelled"
        " FROM unnest($2::uuid[], $3::int[]) AS n(item_id, cancelled)"
        " WHERE i.order_id = $1 AND i.item_id = n.item_id AND i.cancelled_quantity <> n.cancelled",
        order.order_id,
        [item.item_id for item in order.items],
        [item.cancelled_quantity for item in order.items],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """What a list is narrowed to; None and empty mean everything."""

    states: tuple[OrderState, ...] = ()
    buyer_id: UUID | None = None
    seller_id: UUID | None = None
    courier_id: UUID | None = None
    order_group_id: UUID | None = None
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose orders a list may show: bought by or in the hands of the account, or sold by the seller."""

    buyer_id: UUID
    seller_id: UUID | None


_IN_HANDS: Final = [state.value for state in IN_COURIERS_HANDS]


async def list_orders(
    connection: Connection, wanted: OrderFilter, reach: Reach | None, before: UUID | None, limit: int
) -> list[Order]:
    """One page, newest first; `reach` None shows everybody's. Ids are time-ordered, so they alone are the key.

    Each way in which an order can be the caller's is a branch of its own on its own index, each stopped at the page's
    end, so a page costs the same wherever it stands.
    """
    arguments = Arguments()
    conditions: list[str] = []
    for column, value in (
        ("buyer_id", wanted.buyer_id),
        ("seller_id", wanted.seller_id),
        ("courier_id", wanted.courier_id),
        ("order_group_id", wanted.order_group_id),
    ):
        if value is not None:
            conditions.append(f"{column} = {arguments.add(value)}")
    if wanted.states:
        conditions.append(f"state = ANY({arguments.add([state.value for state in wanted.states])}::text[])")
    if wanted.create_time_from is not None:
        conditions.append(f"create_time >= {arguments.add(wanted.create_time_from)}")
    if wanted.create_time_before is not None:
        conditions.append(f"create_time < {arguments.add(wanted.create_time_before)}")
    if before is not None:
        conditions.append(f"order_id < {arguments.add(before)}")
    size = arguments.add(limit)
    branches: list[list[str]] = [[]]
    if reach is not None:
        account = arguments.add(reach.buyer_id)
        branches = [
            [f"buyer_id = {account}"],
            [f"courier_user_id = {account}", f"state = ANY({arguments.add(_IN_HANDS)}::text[])"],
        ]
        if reach.seller_id is not None:
            branches.append([f"seller_id = {arguments.add(reach.seller_id)}"])
    union = " UNION ".join(
        f"(SELECT order_id FROM orders WHERE {' AND '.join([*conditions, *branch]) or 'true'}"
        f" ORDER BY order_id DESC LIMIT {size})"
        for branch in branches
    )
    rows = await connection.fetch(
        f"{_FROM} JOIN (SELECT order_id FROM ({union}) b ORDER BY order_id DESC LIMIT {size}) p USING (order_id)"
        " ORDER BY o.order_id DESC",
        *arguments,
    )
    return [_order(row) for row in rows]
