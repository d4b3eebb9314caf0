"""Searching and suggesting: what is found, page by page, with its products as lists show them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from marketd.catalog.model import ProductState
from marketd.catalog.repository import products
from marketd.catalog.search import find, suggest
from marketd.catalog.search.facets import count_matches
from marketd.catalog.search.repository import pages
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
    """Up to `limit` products behind that key, in the query's order. facets: None for no counts at all.

    The key of relevance is how many came before, the others' what the order sorts by.
    """
    if not query.text.strip() and query.order is SearchOrder.RELEVANCE:
        query = replace(query, order=SearchOrder.POPULAR)
    matching: Matching
    if query.order is SearchOrder.RELEVANCE:
        offset = int(str(after[0])) if after is not None else 0
        count = min(limit, MAX_RELEVANT - offset)
        hits = await find.find(unit, query, offset=offset, limit=count)
        matching = hits.matching
        first = [Place(product_id, (offset + place,)) for place, product_id in enumerate(hits.product_ids, start=1)]

        async def next_places(key: SearchKey | None, wanted: int) -> list[Place]:
            # Products that went meanwhile are not made up for: the place of the others would be another then.
            return first if key is after else []
    else:
        matching = await find.match(unit, query)

        async def next_places(key: SearchKey | None, wanted: int) -> list[Place]:
            return await pages.read_page(unit.connection, query, matching, key, wanted)

    listed = await _listed(unit, next_places, after, limit)
    counts = None if facets is None else await count_matches(unit.connection, query, matching, facets)
    return SearchPage(listed, matching.corrected_query, counts)


async def _listed(
    unit: ReadUnit,
    next_places: Callable[[SearchKey | None, int], Awaitable[list[Place]]],
    after: SearchKey | None,
    limit: int,
) -> list[Listed]:
    """The products of the next places. Where some went between two statements, further ones take their place: a page
    that is too short would end the list.
    """
    listed: list[Listed] = []
    while len(listed) < limit:
        wanted = limit - len(listed)
        places = await next_places(after, wanted)
        found = await products.read_many(unit.connection, [place.product_id for place in places]) if places else {}
        for place in places:
            product = found.get(place.product_id)
            if product is not None and product.state is ProductState.PUBLISHED and product.seller_sells:
                listed.append(Listed(product, place.key))
        if len(places) < wanted or len(listed) == limit:
            break
        after = places[-1].key
    return listed


async def suggest_products(unit: ReadUnit, text: str, limit: int) -> list[tuple[Suggestion, Product | None]]:
    """What whoever has typed so much may mean, and the products among it."""
    suggestions = await suggest.suggest(unit, text, limit)
    ids: list[UUID] = [each.product_id for each in suggestions if each.product_id is not None]
    found = await products.read_many(unit.connection, ids) if ids else {}
    # A product that went meanwhile is not suggested.
    return [
        (each, None if each.product_id is None else found[each.product_id])
        for each in suggestions
        if each.product_id is None or each.product_id in found
    ]
