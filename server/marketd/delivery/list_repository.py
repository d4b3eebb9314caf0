"""Lists of deliveries, newest first, by keyset: the statement behind ListDeliveries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from marketd.delivery.repository import COLUMNS, FROM, to_view
from marketd.delivery.states import DeliveryState
from marketd.delivery.values import DeliveryView
from marketd.kernel.db.database import Connection


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which deliveries to list; None and empty mean all."""

    states: tuple[DeliveryState, ...] = ()
    order_id: UUID | None = None
    buyer_account_id: UUID | None = None
    seller_id: UUID | None = None
    courier_id: UUID | None = None

    def text(self) -> str:
        """The filter in one text, for the page token."""
        states = ",".join(sorted(state.value for state in self.states))
        return f"{states}|{self.order_id}|{self.buyer_account_id}|{self.seller_id}|{self.courier_id}"


# Each branch walks one index downwards and stops after a page, so page 1,000 costs what page 1 does.
_OWN: Final = (
    ("buyer_account_id", "$1"),
    ("seller_account_id", "$1"),
    ("courier_id", "(SELECT courier_id FROM couriers WHERE account_id = $1)"),
)


async def list_page(
    connection: Connection, owner: UUID | None, wanted: ListFilter, before: UUID | None, limit: int
) -> list[DeliveryView]:
    """Deliveries newest first, below `before`: what `owner` receives, hands out or brings, or all of them without."""
    arguments: list[object] = []
    conditions: list[str] = []
    if owner is not None:
        arguments.append(owner)

    def condition(template: str, value: object) -> None:
        arguments.append(value)
        conditions.append(template.replace("?", f"${len(arguments)}"))

    if wanted.states:
        condition("state = ANY(?::text[])", [state.value for state in wanted.states])
    for column in ("order_id", "buyer_account_id", "seller_id", "courier_id"):
        value = getattr(wanted, column)
        if value is not None:
            condition(f"{column} = ?", value)
    if before is not None:
        condition("delivery_id < ?", before)
    arguments.append(limit)
    tail = f"ORDER BY delivery_id DESC LIMIT ${len(arguments)}"
    if owner is None:
        where = " AND ".join(conditions) or "true"
        keys = f"SELECT delivery_id FROM deliveries WHERE {where} {tail}"  # noqa: S608 - names of columns
    else:
        branches = [
            f"(SELECT delivery_id FROM deliveries WHERE {' AND '.join([f'{column} = {key}', *conditions])} {tail})"  # noqa: S608 - names of columns
            for column, key in _OWN
        ]
        keys = f"SELECT delivery_id FROM ({' UNION '.join(branches)}) own {tail}"  # noqa: S608 - names of columns
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM {FROM} WHERE d.delivery_id IN ({keys}) ORDER BY d.delivery_id DESC",  # noqa: S608 - names of columns
        *arguments,
    )
    return [to_view(row) for row in rows]
