"""Facets: what the matches of a search can be narrowed to, each counted as if its own filter were not set.

Up to so many matches are counted one by one. How many there are is not known before, and counting a third of a million
takes as long as ten thousand searches: so where many documents have the words, a sample says first whether they are
more than that, and its counts stand for all when they are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from marketd.catalog.search import prices
from marketd.catalog.search.model import fitting_sample
from marketd.catalog.search.repository import counts, leads
from marketd.catalog.search.repository.counts import MOST_BUCKETS, Counted
from marketd.catalog.search.repository.filters import Filter, set_filters
from marketd.catalog.search.repository.leads import Lead
from marketd.catalog.search.values import EXACT_COUNTS, Bucket, Counts, Facet, FacetKind, Matching, SearchQuery
from marketd.kernel.db.database import Connection

MOST_NAMES: Final = 20
# A sample of so many is off by three and a half percent, and of half of them by five.
_ENOUGH: Final = 800
# What a sample says is hardly ever off by so many standard deviations: that far above the bound it is surely too many.
_DEVIATIONS: Final = 4
# Filters and words that go together leave more than each of them lets expect.
_SURELY: Final = 2
_WHOLE_SAMPLE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Set:
    """What was counted of one set of documents; estimates when `approximate`."""

    rows: Sequence[Counted]
    approximate: bool

    @property
    def total(self) -> int:
        """How many documents it has."""
        return next(row.count for row in self.rows if not row.kind)


class _Counting:
    """One search whose sets are counted."""

    def __init__(self, connection: Connection, query: SearchQuery, matching: Matching, exact: int) -> None:
        self._connection = connection
        self._query = query
        self._matching = matching
        self._exact = exact

    async def count(self, kinds: Collection[FacetKind], without: Filter | None = None) -> _Set:
        """What the words and all filters but `without` leave, counted by `kinds`."""
        documents, total = self._matching.documents, self._matching.total
        left = await leads.estimate_left(self._connection, self._query, without)
        lead = leads.lead_of(documents, left, total) if self._matching.tsquery else Lead.BOTH
        expected = documents if left is None else documents * left / max(1, total)
        whole: _Set | None = None
        if min(documents, _SURELY * expected) <= self._exact:
            whole = _Set(await self._look(kinds, without, self._exact + 1, lead), approximate=False)
            if whole.total <= self._exact:
                return whole
        parts = fitting_sample(documents, _ENOUGH)
        sample = _Set(await self._look(kinds, without, _WHOLE_SAMPLE, lead, parts), approximate=True)
        # What is known to be too many is not counted to see it.
        is_known = self._matching.is_counted and left is None
        if (
            whole is None
            and not is_known
            and sample.total * parts <= self._exact + _DEVIATIONS * parts * math.sqrt(sample.total)
        ):
            whole = _Set(await self._look(kinds, without, self._exact + 1, lead), approximate=False)
            if whole.total <= self._exact:
                return whole
        return _Set([replace(row, count=row.count * parts) for row in sample.rows], approximate=True)

    async def _look(
        self, kinds: Collection[FacetKind], without: Filter | None, limit: int, lead: Lead, parts: int | None = None
    ) -> list[Counted]:
        return await counts.count(
            self._connection,
            self._query,
            self._matching,
            kinds,
            bounds=prices.ROUND_BOUNDS,
            limit=limit,
            without=without,
            lead=lead,
            parts=parts,
        )


async def count_matches(
    connection: Connection,
    query: SearchQuery,
    matching: Matching,
    kinds: Sequence[FacetKind],
    *,
    exact: int = EXACT_COUNTS,
) -> Counts:
    """How many products match, and the facets of these kinds in their order; attributes a facet for each name."""
    if matching.nothing:
        return Counts(0, approximate=False, facets=tuple(Facet(kind, ()) for kind in kinds if kind not in _BY_NAME))
    counting = _Counting(connection, query, matching, exact)
    filters = set_filters(query)
    own = {kind: await counting.count([kind], (kind, "")) for kind in kinds if (kind, "") in filters}
    base = await counting.count([kind for kind in kinds if kind not in own])
    facets: list[Facet] = []
    for kind in kinds:
        if kind in _BY_NAME:
            facets += await _attributes(counting, base, [name for of, name in filters if of is kind])
        else:
            counted = own.get(kind, base)
            facets.append(Facet(kind, _buckets(kind, counted.rows), approximate=counted.approximate))
    return Counts(base.total, base.approximate, tuple(facets))


_BY_NAME: Final = frozenset({FacetKind.ATTRIBUTES})


def _buckets(kind: FacetKind, rows: Sequence[Counted]) -> tuple[Bucket, ...]:
    mine = [row for row in rows if row.kind == kind and row.count]
    match kind:
        case FacetKind.PRICE:
            return prices.ranges_of({row.number or 0: row.count for row in mine})
        case FacetKind.RATING:
            return tuple(Bucket(row.count, str(row.number), str(row.number)) for row in mine)
        case FacetKind.IN_STOCK:
            return tuple(Bucket(row.count, "true", "true") for row in mine)
        case _:
            named = [Bucket(row.count, str(row.thing_id), row.label or "") for row in mine]
            return tuple(sorted(named, key=lambda bucket: (-bucket.count, bucket.label, bucket.value)))


async def _attributes(counting: _Counting, base: _Set, filtered: Sequence[str]) -> list[Facet]:
    """A facet for each name: those that are filtered by first, each without its own filter, then the most frequent."""
    facets = []
    for name in filtered:
        counted = await counting.count([FacetKind.ATTRIBUTES], (FacetKind.ATTRIBUTES, name))
        found = _by_name(counted).get(_folded(name))
        facets.append(found or Facet(FacetKind.ATTRIBUTES, (), name, counted.approximate))
    known = {_folded(name) for name in filtered}
    others = [facet for name, facet in _by_name(base).items() if name not in known]
    others.sort(key=lambda facet: (-sum(bucket.count for bucket in facet.buckets), facet.name))
    return (facets + others)[:MOST_NAMES]


def _by_name(counted: _Set) -> dict[str, Facet]:
    """The attributes of a set, by their folded names; a name is spelled as its most frequent value has it."""
    rows: dict[str, list[Counted]] = defaultdict(list)
    for row in counted.rows:
        if row.kind == FacetKind.ATTRIBUTES:
            rows[_folded(row.name or "")].append(row)
    found = {}
    for name, mine in rows.items():
        mine.sort(key=lambda row: (-row.count, row.label or ""))
        buckets = tuple(Bucket(row.count, row.label or "", row.label or "") for row in mine[:MOST_BUCKETS])
        found[name] = Facet(FacetKind.ATTRIBUTES, buckets, mine[0].name or "", counted.approximate)
    return found


def _folded(name: str) -> str:
    return name.lower()
