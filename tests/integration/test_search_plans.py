"""The ways that searches take through very many products: each by an index, whatever is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import asyncpg
import pytest
from marketd.bench import growth_data, growth_queries
from marketd.catalog.search.facets import count_matches
from marketd.catalog.search.find import match
from marketd.catalog.search.repository.filters import with_attribute_keys
from marketd.catalog.search.search import search_products
from marketd.catalog.search.suggest import suggest
from marketd.catalog.search.values import FacetKind, SearchOrder, SearchQuery
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit

pytestmark = pytest.mark.faults

PRODUCTS = 100_000
SMALL = 1_000
SMALL_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples BETWEEN 0 AND $1"


class Explained:
    """A connection that asks how each statement would be run, and remembers what is looked at from end to end."""

    def __init__(self, connection: Any, small: set[str]) -> None:
        self._connection = connection
        self._small = small
        self.scanned: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in ("fetch", "fetchrow", "fetchval"):
            return method

        async def call(statement: str, *arguments: object) -> Any:
            if statement.startswith("EXPLAIN"):
                return await method(statement, *arguments)  # which asks what is expected, and looks at nothing
            text = await self._connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
            plan = json.loads(text) if isinstance(text, str) else text
            for node in nodes(plan[0]["Plan"]):
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in self._small:
                    self.scanned.append(f"{node['Relation Name']} by {' '.join(statement.split())[:200]}")
            return await method(statement, *arguments)

        return call


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


async def test_no_search_looks_at_a_table_from_end_to_end(tx: Transactor, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await growth_data.grow(connection, PRODUCTS)
    words = await growth_queries.read_words(connection)
    queries = await growth_queries.table(connection, words)
    await connection.execute("ANALYZE search_state, sellers, brands, categories, search_attributes")
    small = {row["relname"] for row in await connection.fetch(SMALL_TABLES, SMALL)}
    assert {"search_documents", "search_words", "products"} & small == set()
    await connection.close()
    queries |= {f"{order.value} of a common word": SearchQuery(words.common[0], order=order) for order in SearchOrder}

    async def look(unit: ReadUnit, query: SearchQuery) -> list[str]:
        explained = Explained(unit.connection, small)
        inner = ReadUnit(cast("Any", explained), unit.now)
        await search_products(inner, query, None, 26, ())
        known = await with_attribute_keys(inner.connection, query)
        await count_matches(inner.connection, known, await match(inner, known), tuple(FacetKind))
        await suggest(inner, query.text[:5], 10)
        return explained.scanned

    found = {name: await tx.read(partial(look, query=query)) for name, query in queries.items()}
    scanned = sorted({f"{name}: {each}" for name, every in found.items() for each in every})
    assert scanned == [], "\n".join(scanned)
