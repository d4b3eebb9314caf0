"""Searching and suggesting: what is found, page by page, with its products as lists show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from marketd.catalog.model import ProductState
from marketd.catalog.repository import products
from marketd.catalog.search import find, suggest
from marketd.catalog.search.facets import count_matches
from marketd.catalog.search.repository import pages
from marketd.catalog.search.repository.filters import with_attribute_keys
from marketd.catalog.search.repository.pages import Place, SearchKey
from marketd.catalog.search.values import (
    MAX_RELEVANT,
    Counts,
    FacetKind,
    Matching,
    SearchOrder,
    SearchQuery,
    Suggestion,
)
from marketd.catalog.values import Product
from marketd.kernel.db.uow import ReadUnit


@dataclass(frozen=True, slots=True)
class Listed:
    """A product of a page, and where the search stands with it."""

    product: Product
    key: SearchKey


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page; `counts` only when they were asked for."""

    listed: Sequence[Listed]
    corrected_query: str
    counts: Counts | None


async def search_products(
    unit: ReadUnit, query: SearchQuery, after: SearchKey | None, limit: int, facets: Sequence[FacetKind] | None
) -> SearchPage:
    """Up to `limit` products behind that key, in the query's order. facets: None for no counts at all, as with a key.

    The key of relevance is how many came before. That of another order begins with whether few match, which the counts
    of the first page said, and goes on with what the order sorts by.
    """
    query = await with_attribute_keys(unit.connection, query)
    if not query.text.strip() and query.order is SearchOrder.RELEVANCE:
        query = replace(query, order=SearchOrder.POPULAR)
    if query.order is SearchOrder.RELEVANCE:
        listed, matching = await _ranked(unit, query, 0 if after is None else int(str(after[0])), limit)
        counts = None if facets is None else await count_matches(unit.connection, query, matching, facets)
        return SearchPage(listed, matching.corrected_query, counts)
    matching = await find.match(unit, query)
    counts = None if facets is None else await count_matches(unit.connection, query, matching, facets)
    few = _are_few(counts, after)
    return SearchPage(await _walked(unit, query, matching, after, limit, few=few), matching.corrected_query, counts)


def _are_few(counts: Counts | None, after: SearchKey | None) -> bool:
    """Whether so few match that they are gathered and sorted: what their index is walked for would be far apart."""
    if counts is not None:
        return not counts.approximate
    return after is not None and bool(after[0])


async def _ranked(unit: ReadUnit, query: SearchQuery, offset: int, limit: int) -> tuple[list[Listed], Matching]:
    """The best products behind the first `offset`, as far as relevance reaches; further ones for those that went."""
    listed: list[Listed] = []
    while True:
        wanted = min(limit - len(listed), MAX_RELEVANT - offset)
        hits = await find.find(unit, query, offset=offset, limit=wanted)
        listed += await _listed(unit, [Place(each, (offset + n,)) for n, each in enumerate(hits.product_ids, start=1)])
        offset += wanted
        if len(hits.product_ids) < wanted or len(listed) == limit or offset >= MAX_RELEVANT:
            return listed, hits.matching


async def _walked(
    unit: ReadUnit, query: SearchQuery, matching: Matching, after: SearchKey | None, limit: int, *, few: bool
) -> list[Listed]:
    """The next products; further ones for those that went between two statements: a short page would end the list."""
    listed: list[Listed] = []
    key = None if after is None else after[1:]
    while len(listed) < limit:
        wanted = limit - len(listed)
        places = await pages.read_page(unit.connection, query, matching, key, wanted, few=few)
        listed += await _listed(unit, [Place(place.product_id, (few, *place.key)) for place in places])
        if len(places) < wanted:
            break
        key = places[-1].key
    return listed


async def _listed(unit: ReadUnit, places: Sequence[Place]) -> list[Listed]:
    """The products that are there, in the order of their places."""
    if not places:
        return []
    found = await products.read_many(unit.connection, [place.product_id for place in places])
    return [
        Listed(product, place.key)
        for place in places
        if (product := found.get(place.product_id)) is not None and _is_for_sale(product)
    ]


def _is_for_sale(product: Product) -> bool:
    """What an import has just taken out of sale still has its document for a moment."""
    return product.state is ProductState.PUBLISHED and product.seller_sells


async def suggest_products(unit: ReadUnit, text: str, limit: int) -> list[tuple[Suggestion, Product | None]]:
    """What whoever has typed so much may mean, and the products among it."""
    suggestions = await suggest.suggest(unit, text, limit)
    ids: list[UUID] = [each.product_id for each in suggestions if each.product_id is not None]
    found = await products.read_many(unit.connection, ids) if ids else {}
    there = {product_id: product for product_id, product in found.items() if _is_for_sale(product)}
    return [
        (each, None if each.product_id is None else there[each.product_id])
        for each in suggestions
        if each.product_id is None or each.product_id in there
    ]
