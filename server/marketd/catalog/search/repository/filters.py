"""What the words and the filters of a search demand of a document, as conditions on `search_documents d`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias
from uuid import UUID

from marketd.catalog.search import texts
from marketd.catalog.search.values import FacetKind, Matching, SearchQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is a column, a constant here or the place of an argument

Filter: TypeAlias = tuple[FacetKind, str]
"""A filter: its facet and, of an attribute, its name."""

NOTHING: Final = "false"
# Not a look at the seller for each document: ten thousand are counted at a time. Shops that do not sell are few.
SELLS: Final = f"d.seller_id NOT IN ({sellers.stopped_sql()})"

_ATTRIBUTE_KEYS: Final = (
    f"SELECT p.name, {texts.attribute_key_sql('p.name', 'p.value')} AS attribute_key"
    " FROM unnest($1::text[], $2::text[]) p(name, value)"
)


def matching_condition(matching: Matching, arguments: Arguments) -> list[str]:
    """That the words are found in the document; none when everything is."""
    if matching.nothing:
        return [NOTHING]
    words = [f"d.words @@ {arguments.add(matching.tsquery)}::tsquery"] if matching.tsquery else []
    if not matching.article_number:
        return words
    return [f"({' OR '.join([*words, f'd.codes @> ARRAY[{arguments.add(matching.article_number)}::text]'])})"]


def set_filters(query: SearchQuery) -> list[Filter]:
    """Which filters are set, each by its facet and, of an attribute, its name."""
    singles = {
        FacetKind.CATEGORY: query.category_ids,
        FacetKind.BRAND: query.brand_ids,
        FacetKind.SELLER: query.seller_ids,
        FacetKind.PRICE: query.min_price_minor is not None or query.max_price_minor is not None,
        FacetKind.RATING: query.min_rating_milli,
        FacetKind.IN_STOCK: query.in_stock,
    }
    named = [(FacetKind.ATTRIBUTES, name) for name in query.attributes]
    return [*((kind, "") for kind, is_set in singles.items() if is_set), *named]


def filter_conditions(query: SearchQuery, arguments: Arguments, without: Filter | None = None) -> list[str]:
    """What the filters that are set demand, but for `without`."""
    return [
        condition
        for which in set_filters(query)
        if which != without
        for condition in _demanded(which, query, arguments)
    ]


def _demanded(which: Filter, query: SearchQuery, arguments: Arguments) -> list[str]:
    kind, name = which
    match kind:
        case FacetKind.CATEGORY:
            # The path leads through every category that the product is below.
            return [f"d.category_path && {arguments.add(list(query.category_ids))}::uuid[]"]
        case FacetKind.BRAND:
            return [_one_of("d.brand_id", query.brand_ids, arguments)]
        case FacetKind.SELLER:
            return [_one_of("d.seller_id", query.seller_ids, arguments)]
        case FacetKind.PRICE:
            bounds = ((">=", query.min_price_minor), ("<=", query.max_price_minor))
            return [f"d.price_minor {sign} {arguments.add(each)}::bigint" for sign, each in bounds if each is not None]
        case FacetKind.RATING:
            return [f"d.rating_average_milli >= {arguments.add(query.min_rating_milli)}::int"]
        case FacetKind.IN_STOCK:
            return ["d.in_stock"]
        case FacetKind.ATTRIBUTES:
            return [f"d.attribute_keys && {arguments.add(list(query.attribute_keys[name]))}::bigint[]"]


def _one_of(column: str, ids: Sequence[UUID], arguments: Arguments) -> str:
    """Of one thing alone, its index gives the documents in the index's order."""
    if len(ids) == 1:
        return f"{column} = {arguments.add(ids[0])}::uuid"
    return f"{column} = ANY({arguments.add(list(ids))}::uuid[])"


async def with_attribute_keys(connection: Connection, query: SearchQuery) -> SearchQuery:
    """The query with the numbers of its attributes.

    They are asked for beforehand: a condition that works them out itself says nothing of how many documents meet it,
    and the way chosen then may be a hundred times as long.
    """
    if not query.attributes:
        return query
    pairs = [(name, value) for name, values in query.attributes.items() for value in values]
    rows = await connection.fetch(_ATTRIBUTE_KEYS, [name for name, _ in pairs], [value for _, value in pairs])
    keys: dict[str, list[int]] = {name: [] for name in query.attributes}
    for row in rows:
        keys[row["name"]].append(row["attribute_key"])
    return replace(query, attribute_keys={name: tuple(found) for name, found in keys.items()})


def conditions(query: SearchQuery, matching: Matching, arguments: Arguments) -> list[str]:
    """Everything that a document has to meet. A shop that does not sell is passed over, in a list that is read once."""
    return [*matching_condition(matching, arguments), *filter_conditions(query, arguments), SELLS]
