"""How many documents match, and how many of them each thing has that they could be narrowed to: one statement a set.

A set is what the words and all filters leave, or all but one. It is looked at whole when at most so many match. Of a
larger one a fair sample is counted: the documents with the smallest sample keys, which are spread evenly and have to do
with nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from marketd.catalog.search.model import sampled_alone_sql, sampled_sql
from marketd.catalog.search.repository.filters import SELLS, Filter, filter_conditions, matching_condition
from marketd.catalog.search.repository.leads import Lead, by_no_index
from marketd.catalog.search.values import FacetKind, Matching, SearchQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns, where
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is a column, a constant here or the place of an argument
MOST_BUCKETS: Final = 50
# Attributes are many, and which names matter is decided when they are counted.
_MOST_ATTRIBUTES: Final = 500


@dataclass(frozen=True, slots=True)
class Counted:
    """How many documents have something. kind: "" for all of them, else a FacetKind.

    thing_id and label: of a category, brand or seller; number: the price range's place or the least rating in stars;
    name and label: of an attribute.
    """

    kind: str
    thing_id: UUID | None
    number: int | None
    name: str | None
    label: str | None
    count: int


_COUNTED = Columns(Counted)
_NONE = "NULL::uuid AS thing_id, NULL::int AS number, NULL::text AS name, NULL::text AS label"
_ALL = f"SELECT '' AS kind, {_NONE}, count(*) AS count FROM s"


def _named(kind: FacetKind, things: str, label: str) -> str:
    """By something that has a name. things: a query of its ids and their counts; label: of the thing `c.thing_id`."""
    return (
        f"SELECT '{kind}', c.thing_id, NULL, NULL, {label}, c.count"
        f" FROM ({things} ORDER BY count DESC, thing_id LIMIT {MOST_BUCKETS}) c"
    )


# Paths are few beside the documents: counted first and taken apart then.
_CATEGORIES = (
    "SELECT u.thing_id, sum(p.count)::bigint AS count"
    " FROM (SELECT category_path, count(*) AS count FROM s GROUP BY category_path) p"
    " CROSS JOIN LATERAL unnest(p.category_path) u(thing_id) GROUP BY u.thing_id"
)
_RATINGS = " UNION ALL ".join(
    f"SELECT '{FacetKind.RATING}', NULL, {stars}, NULL, NULL, count(*) FROM s WHERE rating_average_milli >= {stars}000"
    for stars in (4, 3, 2, 1)
)


def _thing(column: str) -> str:
    return f"SELECT {column} AS thing_id, count(*) AS count FROM s WHERE {column} IS NOT NULL GROUP BY {column}"


_COUNTS: Final = {
    FacetKind.CATEGORY: _named(
        FacetKind.CATEGORY, _CATEGORIES, "(SELECT t.name FROM categories t WHERE t.category_id = c.thing_id)"
    ),
    FacetKind.BRAND: _named(
        FacetKind.BRAND, _thing("brand_id"), "(SELECT t.name FROM brands t WHERE t.brand_id = c.thing_id)"
    ),
    FacetKind.SELLER: _named(FacetKind.SELLER, _thing("seller_id"), sellers.shop_name_sql("c.thing_id")),
    FacetKind.RATING: _RATINGS,
    FacetKind.IN_STOCK: f"SELECT '{FacetKind.IN_STOCK}', NULL, NULL, NULL, NULL, count(*) FROM s WHERE in_stock",
}
_COLUMNS: Final = {
    FacetKind.CATEGORY: "category_path",
    FacetKind.BRAND: "brand_id",
    FacetKind.SELLER: "seller_id",
    FacetKind.PRICE: "price_minor",
    FacetKind.RATING: "rating_average_milli",
    FacetKind.IN_STOCK: "in_stock",
    FacetKind.ATTRIBUTES: "attribute_keys",
}


def _prices(bounds: Sequence[int], arguments: Arguments) -> str:
    return (
        f"SELECT '{FacetKind.PRICE}', NULL, r.number, NULL, NULL, r.count FROM"
        f" (SELECT width_bucket(price_minor, {arguments.add(list(bounds))}::bigint[]) AS number, count(*) AS count"
        " FROM s GROUP BY 1) r"
    )


def _attributes(chosen: Sequence[int], arguments: Arguments) -> str:
    """The most frequent, and whatever their number those that are chosen already: else a filter would hide itself."""
    first = f"k.attribute_key = ANY({arguments.add(list(chosen))}::bigint[]) DESC, " if chosen else ""
    return (
        f"SELECT '{FacetKind.ATTRIBUTES}', NULL, NULL, t.name, t.value, c.count FROM ("
        # A set-returning function among the columns costs half of what a join with one does.
        "SELECT k.attribute_key, count(*) AS count FROM (SELECT unnest(s.attribute_keys) AS attribute_key FROM s) k"
        f" GROUP BY k.attribute_key ORDER BY {first}count DESC, k.attribute_key LIMIT {_MOST_ATTRIBUTES}"
        # One look for each: the whole table is larger than what is counted here.
        ") c CROSS JOIN LATERAL"
        " (SELECT name, value FROM search_attributes a WHERE a.attribute_key = c.attribute_key LIMIT 1) t"
    )


async def count(
    connection: Connection,
    query: SearchQuery,
    matching: Matching,
    kinds: Collection[FacetKind],
    *,
    bounds: Sequence[int],
    limit: int,
    without: Filter | None = None,
    parts: int | None = None,
    lead: Lead = Lead.BOTH,
) -> list[Counted]:
    """What the documents have that the words and all filters but `without` leave, by `kinds`, and how many they are.

    limit: so many of them are counted at most. lead: whose index finds them. parts: only one of so many documents, the
    sample of SAMPLED_PARTS. bounds: of the price ranges, ascending; a range's number is that of the bound it begins
    with, from 1 on, 0 below the first.
    """
    arguments = Arguments(limit)
    words, filters = matching_condition(matching, arguments), filter_conditions(query, arguments, without)
    demanded = [
        *(map(by_no_index, words) if lead is Lead.FILTERS else words),
        # Where a sample leads, an index of a filter would be read for a hundred times as many.
        *(map(by_no_index, filters) if parts or lead is Lead.WORDS else filters),
        SELLS,
    ]
    if parts is not None:
        demanded.append(sampled_sql(parts) if matching.tsquery else sampled_alone_sql(parts))
    columns = ", ".join(f"d.{_COLUMNS[kind]}" for kind in FacetKind if kind in kinds) or "1"
    chosen = () if without is None else query.attribute_keys.get(without[1], ())
    counted = [_ALL]
    for kind in kinds:
        match kind:
            case FacetKind.PRICE:
                counted.append(_prices(bounds, arguments))
            case FacetKind.ATTRIBUTES:
                counted.append(_attributes(chosen, arguments))
            case _:
                counted.append(_COUNTS[kind])
    found = f"SELECT {columns} FROM search_documents d{where(demanded)} LIMIT $1"
    statement = f"WITH s AS MATERIALIZED ({found}) {' UNION ALL '.join(counted)}"
    return _COUNTED.values(await connection.fetch(statement, *arguments))
