"""The statement behind ListDeliveries: deliveries newest first, by keyset."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from marketd.delivery.repository.deliveries import DELIVERY, FROM
from marketd.delivery.values import Delivery, DeliveryFilter
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where

# ruff: noqa: S608 - names of columns
# Each branch walks one index downwards and stops after a page, so page 1,000 costs what page 1 does.
_OWN: Final = (
    ("buyer_id", "$1"),
    ("owner_user_id", "$1"),
    ("courier_id", "(SELECT courier_id FROM couriers WHERE user_id = $1)"),
)


async def list_page(
    connection: Connection, owner: UUID | None, wanted: DeliveryFilter, before: UUID | None, limit: int
) -> list[Delivery]:
    """Deliveries newest first, below `before`: what `owner` receives, hands out or brings, or all of them without."""
    arguments = Arguments() if owner is None else Arguments(owner)
    conditions: list[str] = []
    if wanted.states:
        states = [state.value for state in wanted.states]
        conditions.append(f"state = ANY({arguments.add(states)}::text[])")
    for column in ("order_id", "buyer_id", "seller_id", "courier_id"):
        value = getattr(wanted, column)
        if value is not None:
            conditions.append(f"{column} = {arguments.add(value)}")
    if before is not None:
        conditions.append(f"delivery_id < {arguments.add(before)}")
    tail = f"ORDER BY delivery_id DESC LIMIT {arguments.add(limit)}"
    if owner is None:
        keys = f"SELECT delivery_id FROM deliveries{where(conditions)} {tail}"
    else:
        branches = [
            f"(SELECT delivery_id FROM deliveries WHERE {' AND '.join([f'{column} = {key}', *conditions])} {tail})"
            for column, key in _OWN
        ]
        keys = f"SELECT delivery_id FROM ({' UNION '.join(branches)}) own {tail}"
    rows = await connection.fetch(
        f"SELECT {DELIVERY.sql} FROM {FROM} WHERE d.delivery_id IN ({keys}) ORDER BY d.delivery_id DESC",
        *arguments,
    )
    return DELIVERY.values(rows)
