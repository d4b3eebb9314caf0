"""What the filters of a search say about a document, as conditions on `search_documents d`.

Columns that filters, facets and orders read: product_id, category_id, brand_id, seller_id, price_minor, in_stock,
rating_average_milli, attribute_keys (bigint[], see attributes.py), words (tsvector), and for the orders popularity,
price_minor, rating_average_milli and publish_time, each with product_id behind it. An index a column or order, and one
(category_id, order) for each order; GIN for words and attribute_keys.
"""

from __future__ import annotations

from typing import Final

from marketd.catalog.search.repository.attributes import attribute_key_sql
from marketd.catalog.search.values import FacetKind, Matching, SearchQuery
from marketd.kernel.db.sql import Arguments

NOTHING: Final = "false"


def matching_condition(matching: Matching, arguments: Arguments) -> list[str]:
    """That the words are found in the document; none when everything is."""
    if matching.nothing:
        return [NOTHING]
    return [f"d.words @@ {arguments.add(matching.tsquery)}::text::tsquery"] if matching.tsquery else []


def filter_conditions(query: SearchQuery, arguments: Arguments) -> dict[tuple[FacetKind, str], str]:
    """What each filter that is set demands, by the facet that is counted without it; attributes also by their name."""
    found: dict[tuple[FacetKind, str], str] = {}
    if query.category_ids:
        ids = arguments.add(list(query.category_ids))
        # As an array it is looked up once and can go into an index; a join would be planned anew for each statement.
        found[FacetKind.CATEGORY, ""] = (
            f"d.category_id = ANY(ARRAY(SELECT category_id FROM categories WHERE path && {ids}::uuid[]))"
        )
    for kind, column, values in (
        (FacetKind.BRAND, "brand_id", query.brand_ids),
        (FacetKind.SELLER, "seller_id", query.seller_ids),
    ):
        if values:
            found[kind, ""] = f"d.{column} = ANY({arguments.add(list(values))}::uuid[])"
    prices = []
    if query.min_price_minor is not None:
        prices.append(f"d.price_minor >= {arguments.add(query.min_price_minor)}::bigint")
    if query.max_price_minor is not None:
        prices.append(f"d.price_minor <= {arguments.add(query.max_price_minor)}::bigint")
    if prices:
        found[FacetKind.PRICE, ""] = " AND ".join(prices)
    if query.min_rating_milli:
        found[FacetKind.RATING, ""] = f"d.rating_average_milli >= {arguments.add(query.min_rating_milli)}::int"
    if query.in_stock:
        found[FacetKind.IN_STOCK, ""] = "d.in_stock"
    for name, values in query.attributes.items():
        key = attribute_key_sql(f"{arguments.add(name)}::text", "v")
        keys = f"ARRAY(SELECT {key} FROM unnest({arguments.add(list(values))}::text[]) v)"
        found[FacetKind.ATTRIBUTES, name] = f"d.attribute_keys && {keys}"
    return found


def conditions(query: SearchQuery, matching: Matching, arguments: Arguments) -> list[str]:
    """Everything that a document has to meet."""
    return [*matching_condition(matching, arguments), *filter_conditions(query, arguments).values()]
