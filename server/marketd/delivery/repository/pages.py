"""The statement behind ListDeliveries, by keyset in each of its orders.

Each branch walks one index and stops after a page, so page 1,000 costs what page 1 does: for a caller's own list there
is one for each part that an account plays, for a list by ids one for each id. An index cannot be walked in order for
several values at once, and the planner knows how rare a value is only where it sees it: looked up inside the statement,
the id of a courier with few deliveries, or of none, would have all deliveries walked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.delivery.model import CLOSE_KEY
from marketd.delivery.repository.deliveries import DELIVERY, FROM
from marketd.delivery.values import Delivery, DeliveryCursor, DeliveryFilter, DeliveryOrder
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where

# ruff: noqa: S608 - names of columns
# The narrowest first: where no account's own list is walked, the first that is given is walked.
_IDS: Final = (
    ("order_id", "order_ids"),
    ("courier_id", "courier_ids"),
    ("buyer_id", "buyer_ids"),
    ("seller_id", "seller_ids"),
)
_INTERVALS: Final = ("create_time", "close_time")


async def list_page(
    connection: Connection,
    owner: UUID | None,
    wanted: DeliveryFilter,
    order: DeliveryOrder,
    after: DeliveryCursor | None,
    limit: int,
) -> list[Delivery]:
    """Deliveries in this order, behind `after`: what `owner` receives, hands out or brings, or all of them without."""
    arguments = Arguments()
    walked = await _own(connection, owner, wanted, arguments) if owner is not None else []
    conditions: list[str] = []
    for column, name in _IDS:
        ids: tuple[UUID, ...] = getattr(wanted, name)
        if ids and not walked:
            walked = [(column, arguments.add(one)) for one in ids]
        elif ids:
            conditions.append(f"{column} = ANY({arguments.add(ids)}::uuid[])")
    conditions += _narrowing(wanted, arguments)
    keys = (CLOSE_KEY, "delivery_id") if order.by_close_time else ("delivery_id",)
    if after is not None:
        closed, last_id = after
        # The driver knows no infinity; as text Postgres reads one.
        places = [f"{arguments.add(_instant_text(closed))}::text::timestamptz"] if order.by_close_time else []
        places.append(arguments.add(last_id))
        conditions.append(f"({', '.join(keys)}) {'<' if order.is_descending else '>'} ({', '.join(places)})")
    way = " DESC" if order.is_descending else ""
    sorted_by = ", ".join(key + way for key in keys)
    tail = f"ORDER BY {sorted_by} LIMIT {arguments.add(limit)}"
    branches = [
        f"(SELECT delivery_id, close_time FROM deliveries{where([f'{column} = {key}', *conditions])} {tail})"
        for column, key in walked
    ]
    source = f"({' UNION '.join(branches)}) found" if branches else f"deliveries{where(conditions)}"
    rows = await connection.fetch(
        f"SELECT {DELIVERY.sql} FROM (SELECT delivery_id AS id, row_number() OVER (ORDER BY {sorted_by}) AS place"
        f" FROM {source} {tail}) page JOIN {FROM} ON d.delivery_id = page.id ORDER BY page.place",
        *arguments,
    )
    return DELIVERY.values(rows)


async def _own(
    connection: Connection, owner: UUID, wanted: DeliveryFilter, arguments: Arguments
) -> list[tuple[str, str]]:
    """The parts that an account plays: (column, place of its value).

    A courier is not told whose account receives a delivery, so what the account brings is not found by that either.
    """
    own = [("buyer_id", arguments.add(owner)), ("owner_user_id", arguments.add(owner))]
    if wanted.buyer_ids:
        return own
    rows = await connection.fetch("SELECT courier_id FROM couriers WHERE user_id = $1", owner)
    return [*own, *(("courier_id", arguments.add(row["courier_id"])) for row in rows)]


def _narrowing(wanted: DeliveryFilter, arguments: Arguments) -> list[str]:
    found: list[str] = []
    for column, words in (("state", wanted.states), ("outcome", wanted.outcomes)):
        if words:
            found.append(f"{column} = ANY({arguments.add([word.value for word in words])}::text[])")
    for column in _INTERVALS:
        begin: datetime | None = getattr(wanted, f"{column}_from")
        end: datetime | None = getattr(wanted, f"{column}_before")
        if begin is not None:
            found.append(f"{column} >= {arguments.add(begin)}")
        if end is not None:
            found.append(f"{column} < {arguments.add(end)}")
    return found


def _instant_text(instant: datetime | None) -> str:
    return "infinity" if instant is None else instant.isoformat()
