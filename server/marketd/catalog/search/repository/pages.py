"""Pages of a search in an order that an index keeps: keyset, over all that matches.

What few documents can match is gathered first and then sorted: an index that is walked in the wanted order would pass a
million of others to find them. What many match is found by walking, where each is not far from the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from marketd.catalog.search.repository.filters import conditions
from marketd.catalog.search.values import Matching, SearchOrder, SearchQuery
from marketd.kernel.call.pages import CursorValue
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where

# ruff: noqa: S608 - every interpolated part is a column, a constant here or the place of an argument
SearchKey: TypeAlias = tuple[CursorValue, ...]
"""Where a product stands in a search: what the order sorts by, and its id."""


@dataclass(frozen=True, slots=True)
class Place:
    """A product and where it stands."""

    product_id: UUID
    key: SearchKey


@dataclass(frozen=True, slots=True)
class _Sort:
    """An order: its columns with their types, all of them the same way."""

    columns: tuple[tuple[str, str], ...]
    descending: bool = True


_ID = ("product_id", "uuid")
_SORTS: Final = {
    SearchOrder.PRICE: _Sort((("price_minor", "bigint"), _ID), descending=False),
    SearchOrder.PRICE_DESC: _Sort((("price_minor", "bigint"), _ID)),
    SearchOrder.RATING: _Sort((("rating_average_milli", "int"), _ID)),
    SearchOrder.NEWEST: _Sort((("publish_time", "timestamptz"), _ID)),
    SearchOrder.POPULAR: _Sort((("in_stock", "boolean"), ("popularity", "smallint"), _ID)),
}


async def read_page(
    connection: Connection, query: SearchQuery, matching: Matching, after: SearchKey | None, limit: int, *, few: bool
) -> list[Place]:
    """The next `limit` matches behind that key, in the query's order, which is not relevance.

    few: gather and sort them instead of walking the order's index.
    """
    if matching.nothing:
        return []
    arguments = Arguments(limit)
    sort = _SORTS[query.order]
    names = [name for name, _ in sort.columns]
    way = " DESC" if sort.descending else ""
    order = ", ".join(f"d.{name}{way}" for name in names)
    columns = ", ".join(f"d.{name}" for name in names)
    demanded = conditions(query, matching, arguments)
    if after is not None:
        key = ", ".join(f"{arguments.add(part)}::{kind}" for part, (_, kind) in zip(after, sort.columns, strict=True))
        demanded.append(f"({columns}) {'<' if sort.descending else '>'} ({key})")
    found = f"SELECT {columns} FROM search_documents d{where(demanded)}"
    if few:
        statement = f"WITH d AS MATERIALIZED ({found}) SELECT {columns} FROM d ORDER BY {order} LIMIT $1"
    else:
        statement = f"{found} ORDER BY {order} LIMIT $1"
    rows = await connection.fetch(statement, *arguments)
    return [Place(row["product_id"], tuple(row[name] for name in names)) for row in rows]
