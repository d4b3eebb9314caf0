"""Who leads to the documents of a search that has both words and filters: the index of the words, or the filters'.

The planner guesses badly here, for two reasons. It takes each page for one from a disk, so it rather reads the entries
of a third of a million documents than a few thousand pages that are in memory; and nearly every document that it finds
by a filter costs it a look for the words that it takes to be free.
"""

from __future__ import annotations

import json
from enum import Enum, auto
from typing import Final

from marketd.catalog.search import bands
from marketd.catalog.search.repository.filters import Filter, filter_conditions, set_filters
from marketd.catalog.search.values import FacetKind, SearchQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where

# What an entry of an index costs beside a document that is looked at.
_ENTRY: Final = 0.01
# To look for the words in a document costs about as much as to fetch it.
_WITH_WORDS: Final = 2


# A walk for words that so many have passes three over for each that it finds.
_BROAD: Final = 0.25


class Lead(Enum):
    """Whose index finds the documents; the other only judges them."""

    WORDS = auto()
    FILTERS = auto()
    BOTH = auto()
    """Either, or one index and the other: the planner's choice."""
    WALK = auto()
    """The one filter's index in the order of popularity, as far as relevance reaches."""


def lead_of(words: float, filters: float | None, total: float) -> Lead:
    """Which way is the shortest. words, filters: how many of `total` documents each finds; None without filters."""
    if filters is None:
        return Lead.BOTH
    costs = {
        Lead.BOTH: _ENTRY * (words + filters) + words * filters / max(1.0, total),
        Lead.WORDS: words,
        Lead.FILTERS: _WITH_WORDS * filters,
    }
    return min(costs, key=costs.__getitem__)


def can_walk(query: SearchQuery, words: float, total: float) -> bool:
    """Whether one brand's or one seller's documents can be walked, the popular first: words that so many have pass few
    of them over.
    """
    filters = set_filters(query)
    is_one = filters == [(FacetKind.BRAND, "")] and len(query.brand_ids) == 1
    is_one |= filters == [(FacetKind.SELLER, "")] and len(query.seller_ids) == 1
    return is_one and words >= total * _BROAD


def by_no_index(condition: str) -> str:
    """The same condition as one that no index serves."""
    return f"({condition}) IS TRUE"


def in_band(band: int, arguments: Arguments) -> list[str]:
    """That a document is in the band, which the index of a front says or helps to say; nothing of all documents."""
    if not band:
        return []
    front = bands.front_of(band)
    is_in_front = [f"d.{bands.front_sql(front)}"] if front else []
    if band == front:
        return is_in_front
    is_in_band = f"d.bands @> ARRAY[{arguments.add(band)}::smallint]"
    return [is_in_band if front > bands.FRONTS[0] else by_no_index(is_in_band), *is_in_front]


async def estimate_left(connection: Connection, query: SearchQuery, without: Filter | None = None) -> float | None:
    """About how many documents the filters but `without` leave, by the database's statistics; None without any.

    They are not counted: the planner is asked what it expects.
    """
    arguments = Arguments()
    demanded = filter_conditions(query, arguments, without)
    if not demanded:
        return None
    rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) SELECT FROM search_documents d{where(demanded)}", *arguments)
    plans = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in rows]
    return sum(float(plan[0]["Plan"]["Plan Rows"]) for plan in plans)
