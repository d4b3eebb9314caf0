"""The statements that look through orders: lists, and whether one waits or stands. Single ones are repository.py's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import asyncpg

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where
from marketd.order.model import IN_COURIERS_HANDS, UNFULFILLED, OrderState
from marketd.order.repository import FROM, ORDER
from marketd.order.values import Order, OrderFilter
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is one of the constants here
_OPEN: Final = [state.value for state in OrderState if not state.is_over]
_ENDED_UNFULFILLED: Final = [state.value for state in UNFULFILLED]


async def has_standing(connection: Connection, buyer_id: UUID, besides: UUID | None) -> bool:
    """Whether the buyer has an order that did not end unfulfilled, in another group than `besides`."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM orders WHERE buyer_id = $1 AND state <> ALL($2::text[])"
        " AND order_group_id IS DISTINCT FROM $3)",
        buyer_id,
        _ENDED_UNFULFILLED,
        besides,
    )
    return found


_FIRST_OPEN: Final = (
    "SELECT order_number, count(*) OVER () AS count FROM orders"
    " WHERE {whose} = $1 AND state = ANY($2::text[]) ORDER BY order_id LIMIT 1"
)
_FIRST_OPEN_BOUGHT: Final = _FIRST_OPEN.format(whose="buyer_id")
_FIRST_OPEN_SOLD: Final = _FIRST_OPEN.format(whose="seller_id")


async def first_open_bought(connection: Connection, buyer_id: UUID) -> tuple[str, int] | None:
    """The number of the buyer's oldest order that is not over, and how many there are."""
    return _numbered(await connection.fetchrow(_FIRST_OPEN_BOUGHT, buyer_id, _OPEN))


async def first_open_sold(connection: Connection, seller_id: UUID) -> tuple[str, int] | None:
    """The same of a shop."""
    return _numbered(await connection.fetchrow(_FIRST_OPEN_SOLD, seller_id, _OPEN))


def _numbered(row: asyncpg.Record | None) -> tuple[str, int] | None:
    return None if row is None else (row["order_number"], row["count"])


async def list_waiting_for_shop(
    connection: Connection, seller_id: UUID, states: Collection[OrderState], after: UUID | None, limit: int
) -> list[UUID]:
    """The shop's orders in these states that come after that id, oldest first."""
    rows = await connection.fetch(
        "SELECT order_id FROM orders WHERE seller_id = $1 AND state = ANY($2::text[])"
        " AND ($3::uuid IS NULL OR order_id > $3) ORDER BY order_id LIMIT $4",
        seller_id,
        [state.value for state in states],
        after,
        limit,
    )
    return [row["order_id"] for row in rows]


_ID_COLUMNS: Final = ("order_group_id", "seller_id", "buyer_id", "courier_id")
"""What a list is filtered by, the narrowest first."""
_IN_HANDS: Final = [state.value for state in IN_COURIERS_HANDS]


async def list_orders(
    connection: Connection,
    wanted: OrderFilter,
    account_id: UUID | None,
    after: UUID | None,
    limit: int,
    *,
    newest_first: bool = True,
    in_hands: bool = True,
) -> list[Order]:
    """One page of the account's orders, or of everybody's without one. Ids are time-ordered, so they alone are the key.

    in_hands: whether what the account brings is among its orders.

    Each way in which an order can be the account's (bought by it, in its hands, sold by one of its shops, closed ones
    included) is a branch of its own on its own index, each stopped at the page's end, so a page costs the same wherever
    it stands. Where no account narrows the list, each of the ids that it is filtered by has its branch: an index cannot
    be walked in order for several values, and the planner sees here how rare each is.
    """
    arguments = Arguments()
    conditions: list[str] = []
    branches: list[list[str]] = []
    for column in _ID_COLUMNS:
        ids: tuple[UUID, ...] = getattr(wanted, f"{column}s")
        if ids and account_id is None and not branches:
            branches = [[f"{column} = {arguments.add(one)}"] for one in ids]
        elif ids:
            conditions.append(f"{column} = ANY({arguments.add(list(ids))}::uuid[])")
    if wanted.order_numbers:
        conditions.append(f"order_number = ANY({arguments.add(list(wanted.order_numbers))}::text[])")
    if wanted.states:
        conditions.append(f"state = ANY({arguments.add([state.value for state in wanted.states])}::text[])")
    if wanted.create_time_from is not None:
        conditions.append(f"create_time >= {arguments.add(wanted.create_time_from)}")
    if wanted.create_time_before is not None:
        conditions.append(f"create_time < {arguments.add(wanted.create_time_before)}")
    way, following = ("DESC", "<") if newest_first else ("ASC", ">")
    if after is not None:
        conditions.append(f"order_id {following} {arguments.add(after)}")
    size = arguments.add(limit)
    account = None if account_id is None else arguments.add(account_id)
    if account is not None:
        branches = [[f"buyer_id = {account}"]]
        # A courier is told neither account nor group of what it brings, and does not find it by them.
        if in_hands and not wanted.buyer_ids and not wanted.order_group_ids:
            branches.append([f"courier_user_id = {account}", f"state = ANY({arguments.add(_IN_HANDS)}::text[])"])
        branches.append(["seller_id = s.seller_id"])
    end = f" ORDER BY order_id {way} LIMIT {size}"
    parts = [f"SELECT order_id FROM orders{where([*conditions, *branch])}{end}" for branch in branches or [[]]]
    if account is not None:
        shops = sellers.owned_sql(account)
        parts[-1] = f"SELECT l.order_id FROM ({shops}) s CROSS JOIN LATERAL ({parts[-1]}) l{end}"
    union = " UNION ".join(f"({part})" for part in parts)
    rows = await connection.fetch(
        f"{FROM} JOIN (SELECT order_id FROM ({union}) b ORDER BY order_id {way} LIMIT {size}) p USING (order_id)"
        f" ORDER BY o.order_id {way}",
        *arguments,
    )
    return ORDER.values(rows)


async def read_shown_media(connection: Connection, media_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Those of the media that lines show, each with one of their orders."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (image_media_id) image_media_id, order_id FROM order_items"
        " WHERE image_media_id = ANY($1::uuid[]) ORDER BY image_media_id, order_id",
        list(media_ids),
    )
    return {row["image_media_id"]: row["order_id"] for row in rows}
