"""Every SQL statement on the steps of orders but those that write them, which stand with the order's own."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from marketd.kernel.db.database import Connection
from marketd.kernel.db.horizon import CURRENT, Horizon, seen_sql, unseen_sql
from marketd.kernel.db.sql import Arguments, Columns, where
from marketd.order.history.values import FollowedEvent, OrderEvent
from marketd.order.model import OrderState
from marketd.order.values import OrderFilter

# ruff: noqa: S608 - every interpolated part is one of the constants here, or an argument
_EVENT: Final = Columns(
    OrderEvent, table="e", expressions={"detail": "e.detail::text"}, readers={"detail": orjson.loads}
)
_FOLLOWED: Final = Columns(
    FollowedEvent,
    table="e",
    expressions={"owner_user_id": "o.owner_user_id", "order_group_id": "o.order_group_id"},
)
_LIST: Final = (
    f"SELECT {_EVENT.sql} FROM order_events e WHERE e.order_id = $1 AND ($2::bigint IS NULL OR e.number {{}} $2)"
    " ORDER BY e.number {} LIMIT $3"
)
_OLDEST_FIRST: Final = _LIST.format(">", "ASC")
_NEWEST_FIRST: Final = _LIST.format("<", "DESC")
_NEW: Final = f"""
SELECT h.seen, n.* FROM (SELECT {CURRENT} AS seen) h LEFT JOIN (
  SELECT {_FOLLOWED.sql} FROM order_events e JOIN orders o USING (order_id)
  WHERE {unseen_sql("e.transaction_id", "$1", "$2", "$3")} AND e.occur_time > $4
  ORDER BY e.transaction_id LIMIT $5) n ON true
"""
_HORIZON: Final = f"SELECT {CURRENT}"


async def list_events(
    connection: Connection, order_id: UUID, after: int | None, limit: int, *, newest_first: bool
) -> list[OrderEvent]:
    """One page of an order's steps, behind that number."""
    if newest_first:
        return _EVENT.values(await connection.fetch(_NEWEST_FIRST, order_id, after, limit))
    return _EVENT.values(await connection.fetch(_OLDEST_FIRST, order_id, after, limit))


async def read_horizon(connection: Connection) -> Horizon:
    """What is committed now."""
    return Horizon.parse(await connection.fetchval(_HORIZON))


async def read_new(
    connection: Connection, since: Horizon, oldest: datetime, limit: int
) -> tuple[Horizon, list[FollowedEvent]]:
    """What a horizon has not seen, at most `limit`, and what is seen with it.

    `oldest`: what happened before is not new, whatever its transaction is called: a restored database counts anew.
    """
    rows = await connection.fetch(_NEW, since.begin, since.end, list(since.running), oldest, limit)
    return Horizon.parse(rows[0]["seen"]), [_FOLLOWED.value(row) for row in rows if row["order_id"] is not None]


async def list_missed(
    connection: Connection,
    wanted: OrderFilter,
    account: tuple[UUID, Collection[UUID]] | None,
    since: Horizon,
    until: Horizon,
    oldest: datetime,
    skip: int,
    limit: int,
) -> list[FollowedEvent]:
    """What one horizon has not seen and a later one has, of an account's orders as far as the filter lets them through.

    account: the buyer, and the shops of the same person; None is everybody. `skip` of them are left out at the start:
    their order is always the same, and within an order that of its steps. Of the filter count the states, before or
    after a step, and the ids but for couriers'.
    """
    arguments = Arguments()
    number = "e.transaction_id"
    conditions = [
        unseen_sql(number, arguments.add(since.begin), arguments.add(since.end), arguments.add(list(since.running))),
        seen_sql(number, arguments.add(until.end), arguments.add(list(until.running))),
        f"e.occur_time > {arguments.add(oldest)}",
    ]
    if account is not None:
        buyer_id, shop_ids = account
        sold = f" OR e.seller_id = ANY({arguments.add(list(shop_ids))}::uuid[])" if shop_ids else ""
        conditions.append(f"(e.buyer_id = {arguments.add(buyer_id)}{sold})")
    for column, ids in (
        ("e.buyer_id", wanted.buyer_ids),
        ("e.seller_id", wanted.seller_ids),
        ("o.order_group_id", wanted.order_group_ids),
    ):
        if ids:
            conditions.append(f"{column} = ANY({arguments.add(list(ids))}::uuid[])")
    shown = _in_states(arguments, wanted.states)
    rows = await connection.fetch(
        f"SELECT n.* FROM (SELECT {_FOLLOWED.sql},"
        # A transaction that began earlier may have changed an order later: the steps of one order stay as they were.
        f" max({number}) OVER (PARTITION BY e.order_id ORDER BY e.number) AS place"
        f" FROM order_events e JOIN orders o USING (order_id){where(conditions)}) n{shown}"
        f" ORDER BY n.place, n.order_id, n.number OFFSET {arguments.add(skip)} LIMIT {arguments.add(limit)}",
        *arguments,
    )
    return _FOLLOWED.values(rows)


def _in_states(arguments: Arguments, states: Collection[OrderState]) -> str:
    if not states:
        return ""
    named = f"ANY({arguments.add([state.value for state in states])}::text[])"
    return f" WHERE (n.state = {named} OR n.previous_state = {named})"
