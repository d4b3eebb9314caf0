"""What the words and the filters of a search demand of a document, as conditions on `search_documents d`."""

from __future__ import annotations

from typing import Final

from marketd.catalog.search import texts
from marketd.catalog.search.values import FacetKind, Matching, SearchQuery
from marketd.kernel.db.sql import Arguments
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is a column, a constant here or the place of an argument

NOTHING: Final = "false"
# Not a look at the seller for each document: ten thousand are counted at a time. Shops that do not sell are few.
SELLS: Final = f"d.seller_id NOT IN ({sellers.stopped_sql()})"


def matching_condition(matching: Matching, arguments: Arguments) -> list[str]:
    """That the words are found in the document; none when everything is."""
    if matching.nothing:
        return [NOTHING]
    words = [f"d.words @@ {arguments.add(matching.tsquery)}::text::tsquery"] if matching.tsquery else []
    if not matching.code:
        return words
    return [f"({' OR '.join([*words, f'd.codes @> ARRAY[{arguments.add(matching.code)}::text]'])})"]


def filter_conditions(query: SearchQuery, arguments: Arguments) -> dict[tuple[FacetKind, str], str]:
    """What each filter that is set demands, by the facet that is counted without it; attributes also by their name."""
    found: dict[tuple[FacetKind, str], str] = {}
    if query.category_ids:
        # The path leads through every category that the product is below.
        found[FacetKind.CATEGORY, ""] = f"d.category_path && {arguments.add(list(query.category_ids))}::uuid[]"
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
        key = texts.attribute_key_sql(f"{arguments.add(name)}::text", "v")
        keys = f"ARRAY(SELECT {key} FROM unnest({arguments.add(list(values))}::text[]) v)"
        found[FacetKind.ATTRIBUTES, name] = f"d.attribute_keys && {keys}"
    return found


def set_filters(query: SearchQuery) -> list[tuple[FacetKind, str]]:
    """Which filters are set: their facets and, of attributes, their names."""
    return list(filter_conditions(query, Arguments()))


def conditions(query: SearchQuery, matching: Matching, arguments: Arguments) -> list[str]:
    """Everything that a document has to meet. A shop that does not sell is passed over, in a list that is read once."""
    return [*matching_condition(matching, arguments), *filter_conditions(query, arguments).values(), SELLS]
