"""The statements of search with each choice of their optional parts, for test_statements.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import product
from typing import Any, Final

from marketd.catalog.search import prices
from marketd.catalog.search.reading import Group, Parts, Reading, Term
from marketd.catalog.search.repository import counts, leads, lookups, pages, ranking, suggestions
from marketd.catalog.search.repository.filters import set_filters
from marketd.catalog.search.repository.leads import Lead
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
        yield SearchQuery(**given, attribute_keys=dict.fromkeys(given.get("attributes", {}), (1,)))


def _readings() -> Iterator[Reading]:
    term, joined = Term("cup", 9, 1.0), Term("teacup", 9, 1.0)
    plain = Group((term,))
    for group in (
        plain,
        Group((term, Term("tea", 9, 1.0)), joined=joined),
        Group((term,), parts=Parts("tea", "cup", 9, 1.0)),
        Group((), parts=Parts("tea", "cup", 9, 1.0)),
    ):
        for is_any in (False, True):
            yield Reading((group, plain), 99, is_any=is_any)
    yield Reading((plain,), 99, code="4006381333931")
    yield Reading((), 99, code="4006381333931")


def searches() -> Iterator[tuple[str, Any]]:
    """Where each is sent, and what sends it to a connection."""
    queries = list(_queries())
    nothing, everything = queries[0], queries[-1]
    words = (
        Matching(),
        Matching("'cup'"),
        Matching("'cup'", article_number="4006381333931"),
        Matching(article_number="4006381333931"),
    )
    for query, matching in [*((query, words[1]) for query in queries), *((nothing, matching) for matching in words)]:
        for order in _KEYS if query is everything else (SearchOrder.PRICE,):
            wanted = replace(query, order=order)
            for few, after in product((True, False), (None, _KEYS[order])):
                yield "marketd.catalog.search.repository.pages.read_page", partial(_page, wanted, matching, after, few)
        for without, parts in product((None, *set_filters(query)), (None, 64)):
            yield (
                "marketd.catalog.search.repository.counts.count",
                partial(_count, query, matching, without, parts, tuple(FacetKind)),
            )
            if set(set_filters(query)) - {without}:
                yield "marketd.catalog.search.repository.leads.estimate_left", partial(_left, query, without)
    yield "marketd.catalog.search.repository.counts.count", partial(_count, nothing, words[0], None, None, ())
    yield "marketd.catalog.search.repository.lookups.for_sale", _for_sale
    for reading, (band, above) in product(_readings(), ((0, 0), (7, 0), (7, 9), (0, 7))):
        yield (
            "marketd.catalog.search.repository.ranking.rank",
            partial(_rank, everything, reading, band, above, Lead.BOTH),
        )
    for reading, lead in product(_readings(), Lead):
        yield "marketd.catalog.search.repository.ranking.rank", partial(_rank, everything, reading, 7, 0, lead)
        yield "marketd.catalog.search.repository.ranking.count_sampled", partial(_count_sampled, reading)
    # All, a front, what an index of a front says and what it leaves to be looked at.
    bands = (0, 3, 4, 7)
    for reading, band in product(_readings(), bands):
        yield "marketd.catalog.search.repository.ranking.count_up_to", partial(_count_up_to, reading, band)
    for band in bands:
        yield "marketd.catalog.search.repository.suggestions.going_on", partial(_going_on, band)
        yield "marketd.catalog.search.repository.suggestions.together", partial(_together, band)


async def _for_sale(connection: Any) -> Any:
    return await lookups.for_sale(connection, {"cup": 9, "tea": 900, "set": 90_000})


async def _going_on(band: int, connection: Any) -> object:
    return await suggestions.going_on(connection, "'cup'", "te", band)


async def _together(band: int, connection: Any) -> object:
    return await suggestions.together(connection, "'cup'", ["tea"], band)


async def _rank(query: SearchQuery, reading: Reading, band: int, above: int, lead: Lead, connection: Any) -> object:
    sql, arguments = ranking.ranking_sql(query, reading, band, above=above, offset=0, limit=9, lead=lead)
    return await connection.fetch(sql, *arguments)


async def _count_up_to(reading: Reading, band: int, connection: Any) -> object:
    return await ranking.count_up_to(connection, reading.all_words, band, 9)


async def _count_sampled(reading: Reading, connection: Any) -> object:
    return await ranking.count_sampled(connection, reading.all_words, 64, 9)


async def _left(query: SearchQuery, without: Any, connection: Any) -> object:
    return await leads.estimate_left(connection, query, without)


async def _page(query: SearchQuery, matching: Matching, after: Any, few: bool, connection: Any) -> object:
    return await pages.read_page(connection, query, matching, after, 9, few=few)


async def _count(
    query: SearchQuery, matching: Matching, without: Any, parts: int | None, kinds: Any, connection: Any
) -> object:
    return await counts.count(
        connection, query, matching, kinds, bounds=prices.ROUND_BOUNDS, limit=9, without=without, parts=parts
    )
