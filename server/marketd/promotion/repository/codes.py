"""Every SQL statement of promo codes themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.paging import begins, follow
from marketd.kernel.db.sql import Arguments, Columns
from marketd.promotion.model import Funding
from marketd.promotion.values import FoundCode, PromoCode, PromoCodeQuery

# ruff: noqa: S608 - every interpolated part is one of the constants here
_CODE = Columns(PromoCode)
_CODE_OF_CART = Columns(PromoCode, table="p")
_FOUND = Columns(FoundCode)

PromoCodeKey: TypeAlias = tuple[str | datetime | UUID, ...]
"""Where a code stands in a list: what the order sorts by, and its id."""

_SORTS: Final = {"create_time": ("create_time", "promo_code_id"), "code": ("code_key", "promo_code_id")}
ORDERS: Final = tuple(_SORTS)

# PromoCode.state, which says the same of one code.
_STATE: Final = """CASE
  WHEN disable_time IS NOT NULL THEN 'DISABLED' WHEN end_time <= {now} THEN 'EXPIRED'
  WHEN usage_count >= usage_limit THEN 'EXHAUSTED' WHEN start_time > {now} THEN 'SCHEDULED' ELSE 'ACTIVE' END"""

_READ_FOR_CART: Final = f"""
SELECT {_CODE_OF_CART.sql}, COALESCE(u.count, 0) AS uses
FROM promo_codes p LEFT JOIN promo_uses u ON u.promo_code_id = p.promo_code_id AND u.user_id = $2
WHERE p.promo_code_id = ANY($1::uuid[])
"""

_INSERT: Final = f"""
INSERT INTO promo_codes ({", ".join(_CODE.names)})
VALUES ({", ".join(f"${place}" for place in range(1, len(_CODE.names) + 1))}) ON CONFLICT (code_key) DO NOTHING
"""
_FIXED: Final = frozenset(
    {"promo_code_id", "code", "code_key", "seller_id", "kind", "currency", "usage_count", "create_time"}
)
_CHANGED: Final = tuple(name for name in _CODE.names if name not in _FIXED)
_SAVE: Final = f"""
UPDATE promo_codes SET {", ".join(f"{name} = ${place}" for place, name in enumerate(_CHANGED, start=2))}
WHERE promo_code_id = $1
"""


async def insert(connection: Connection, code: PromoCode) -> bool:
    """Write a new code; False when there is one that is the same but for its case."""
    return await connection.execute(_INSERT, *_columns(code, _CODE.names)) == "INSERT 0 1"


async def save(connection: Connection, code: PromoCode) -> None:
    """Write what can change of a locked code, its uses aside."""
    await connection.execute(_SAVE, code.promo_code_id, *_columns(code, _CHANGED))


def _columns(code: PromoCode, names: Sequence[str]) -> list[object]:
    return [getattr(code, name) for name in names]


async def read(connection: Connection, promo_code_id: UUID) -> PromoCode | None:
    """The code with this id."""
    return _CODE.optional(
        await connection.fetchrow(f"SELECT {_CODE.sql} FROM promo_codes WHERE promo_code_id = $1", promo_code_id)
    )


async def lock(connection: Connection, promo_code_id: UUID) -> PromoCode | None:
    """The code, locked against changes and uses until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_CODE.sql} FROM promo_codes WHERE promo_code_id = $1 FOR NO KEY UPDATE", promo_code_id
    )
    return _CODE.optional(row)


async def find(connection: Connection, code_key: str) -> FoundCode | None:
    """The code of this key."""
    return _FOUND.optional(
        await connection.fetchrow(f"SELECT {_FOUND.sql} FROM promo_codes WHERE code_key = $1", code_key)
    )


async def read_for_cart(
    connection: Connection, promo_code_ids: Sequence[UUID], user_id: UUID | None
) -> dict[UUID, tuple[PromoCode, int]]:
    """The codes of a cart, each with how often the account uses it now (0 for guests); unknown ones are left out."""
    rows = await connection.fetch(_READ_FOR_CART, list(promo_code_ids), user_id)
    return {row["promo_code_id"]: (_CODE_OF_CART.value(row), row["uses"]) for row in rows}


async def most_uses(connection: Connection, promo_code_id: UUID) -> int:
    """How often the account that uses the code most does so now. The code's row is locked."""
    found: int = await connection.fetchval(
        "SELECT COALESCE(max(count), 0) FROM promo_uses WHERE promo_code_id = $1", promo_code_id
    )
    return found


async def list_page(
    connection: Connection,
    query: PromoCodeQuery,
    own_seller_id: UUID | None,
    after: PromoCodeKey | None,
    limit: int,
    now: datetime,
) -> list[PromoCode]:
    """The next `limit` codes after the one with that key; of one seller, or of all with None."""
    arguments = Arguments()
    conditions = begins(arguments, "code_key", query.code_prefix)
    if own_seller_id is not None:
        conditions.append(f"seller_id = {arguments.add(own_seller_id)}")
    if len(query.seller_ids) == 1:
        conditions.append(f"seller_id = {arguments.add(query.seller_ids[0])}")
    elif query.seller_ids:
        conditions.append(f"seller_id = ANY({arguments.add(list(query.seller_ids))}::uuid[])")
    if len(set(query.fundings)) == 1:
        none = "" if query.fundings[0] is Funding.PLATFORM else "NOT "
        conditions.append(f"seller_id IS {none}NULL")
    if query.states:
        state = _STATE.format(now=f"{arguments.add(now)}::timestamptz")
        conditions.append(f"{state} = ANY({arguments.add([each.value for each in query.states])}::text[])")
    tail = follow(arguments, _SORTS[query.order], after, limit, conditions, descending=query.descending)
    return _CODE.values(await connection.fetch(f"SELECT {_CODE.sql} FROM promo_codes{tail}", *arguments))


def cursor_of(code: PromoCode, order: str) -> PromoCodeKey:
    """Where the code stands in a list of this order."""
    return tuple(getattr(code, column) for column in _SORTS[order])
