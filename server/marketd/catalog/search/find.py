"""From the words of a query to the products that have them, best first."""

from __future__ import annotations

from marketd.catalog.search.values import Hits, Matching, SearchQuery, Suggestion
from marketd.kernel.db.uow import ReadUnit


async def match(unit: ReadUnit, query: SearchQuery) -> Matching:
    """Which documents the words find."""
    raise NotImplementedError


async def find(unit: ReadUnit, query: SearchQuery, *, offset: int, limit: int) -> Hits:
    """The `limit` best behind the first `offset`."""
    raise NotImplementedError


async def suggest(unit: ReadUnit, text: str, limit: int) -> list[Suggestion]:
    """What may be meant."""
    raise NotImplementedError
