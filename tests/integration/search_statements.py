"""The statements of search with each choice of their optional parts, for test_statements.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import product
from typing import Any, Final

from marketd.catalog.search import prices
from marketd.catalog.search.repository import counts, pages
from marketd.catalog.search.repository.filters import set_filters
from marketd.catalog.search.values import FacetKind, Matching, SearchOrder, SearchQuery
from marketd.kernel.values.ids import new_id

NOW: Final = datetime(2026, 11, 29)  # noqa: DTZ001 - nothing is compared with it
_ID: Final = new_id()
_FILTERS: Final[dict[str, Any]] = {
    "category_ids": (_ID,),
    "brand_ids": (_ID,),
    "seller_ids": (_ID,),
    "min_price_minor": 1,
    "max_price_minor": 9,
    "min_rating_milli": 4_000,
    "in_stock": True,
    "attributes": {"color": ("red",), "size": ("m",)},
}
_KEYS: Final[dict[SearchOrder, tuple[Any, ...]]] = {
    SearchOrder.PRICE: (1, _ID),
    SearchOrder.PRICE_DESC: (1, _ID),
    SearchOrder.RATING: (1, _ID),
    SearchOrder.NEWEST: (NOW, _ID),
    SearchOrder.POPULAR: (True, 1, _ID),
}


def _queries() -> Iterator[SearchQuery]:
    for given in ({}, *({name: value} for name, value in _FILTERS.items()), _FILTERS):
        keys = {name: (1,) for name in given.get("attributes", {})}
        yield SearchQuery(**given, attribute_keys=keys)


def searches() -> Iterator[tuple[str, Any]]:
    """Where each is sent, and what sends it to a connection."""
    words = (Matching(), Matching("'cup'"), Matching("'cup'", code="4006381333931"), Matching(code="4006381333931"))
    for query, matching in product(_queries(), words):
        for order, few, is_later in product(_KEYS, (True, False), (True, False)):
            wanted = SearchQuery(
                **{name: getattr(query, name) for name in _FILTERS}, attribute_keys=query.attribute_keys, order=order
            )
            after = _KEYS[order] if is_later else None
            yield (
                "marketd.catalog.search.repository.pages.read_page",
                partial(_page, wanted, matching, after, few),
            )
        for without, within, kinds in product(
            (None, *set_filters(query)), (None, -(2**31) + 2**28), ((), tuple(FacetKind))
        ):
            yield (
                "marketd.catalog.search.repository.counts.count",
                partial(_count, query, matching, without, within, kinds),
            )


async def _page(query: SearchQuery, matching: Matching, after: Any, few: bool, connection: Any) -> object:  # noqa: FBT001
    return await pages.read_page(connection, query, matching, after, 9, few=few)


async def _count(
    query: SearchQuery, matching: Matching, without: Any, within: int | None, kinds: Any, connection: Any
) -> object:
    return await counts.count(
        connection, query, matching, kinds, bounds=prices.ROUND_BOUNDS, limit=9, without=without, within=within
    )
