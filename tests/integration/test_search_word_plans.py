"""What PostgreSQL does for a search: indexes lead to everything, however many documents there are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any, Final, cast

import asyncpg
import pytest
from marketd.catalog.search import find, suggest
from marketd.catalog.search.bands import COUNT, FRONTS
from marketd.catalog.search.repository import lookups, ranking
from marketd.catalog.search.repository.leads import Lead
from marketd.catalog.search.values import SearchQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.values.ids import new_id

from tests.integration.test_search_words import HOSTILE, PLAIN, TYPOS
from tests.worlds.search_words import make_shop

MOST_READ: Final = 1000
QUERIES: Final = [*(each.query for each in PLAIN), *TYPOS, *HOSTILE[:-2], "black", "e", "set"]
NARROWED: Final[dict[str, Any]] = {
    "category_ids": (new_id(),),
    "brand_ids": (new_id(),),
    "min_price_minor": 1000,
    "in_stock": True,
}
# Each document many times: other ids, so other bands, and titles of their own.
_MULTIPLY: Final = """
INSERT INTO search_documents (product_id, seller_id, brand_id, publish_time, price_minor, sample_key, sold_30d,
  rating_count, rating_average_milli, popularity, in_stock, category_path, attribute_keys, codes, title_key, head_words,
  words)
SELECT id, seller_id, brand_id, publish_time, price_minor, uuid_hash(id), 0, 0, 0, (copy % 50) / 10, in_stock,
  category_path, attribute_keys, ARRAY(SELECT code || 'c' || copy FROM unnest(codes) code), title_key || ' ' || copy,
  head_words, words
FROM (SELECT d.*, copy, gen_random_uuid() AS id FROM search_documents d, generate_series(1, $1::int) copy) each
"""


class _Explained:
    """A connection that explains each statement before it runs; it keeps which tables were read whole, and which
    indexes led.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.read_whole: list[str] = []
        self.led: set[str] = set()

    async def fetch(self, statement: str, *values: object) -> Sequence[Any]:
        await self._explain(statement, values)
        return await self._connection.fetch(statement, *values)

    async def fetchrow(self, statement: str, *values: object) -> Any:
        await self._explain(statement, values)
        return await self._connection.fetchrow(statement, *values)

    async def fetchval(self, statement: str, *values: object) -> Any:
        await self._explain(statement, values)
        return await self._connection.fetchval(statement, *values)

    async def _explain(self, statement: str, values: Sequence[object]) -> None:
        if statement.startswith("EXPLAIN"):
            return  # which asks what is expected, and looks at nothing
        text = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values)
        for node in _nodes(json.loads(text)[0]["Plan"]):
            self.led |= {node["Index Name"]} if "Index Name" in node else set()
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            if node["Node Type"] == "Seq Scan" and (read > MOST_READ or node.get("Disabled")):
                self.read_whole.append(f"{node['Relation Name']}: {' '.join(statement.split())[:200]}")


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for each in plan.get("Plans", ()) for node in _nodes(each))]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def _read_whole(connection: Connection, queries: Sequence[str]) -> list[str]:
    explained = _Explained(connection)
    unit = ReadUnit(cast("Connection", explained), None)  # type: ignore[arg-type]
    for query in queries:
        await find.find(unit, SearchQuery(query), offset=0, limit=25)
        await find.find(unit, SearchQuery(query, **NARROWED), offset=0, limit=25)
        await find.match(unit, SearchQuery(query))
        await suggest.suggest(unit, query[:5], 10)
    return explained.read_whole


async def test_every_statement_of_a_search_can_do_without_reading_a_table_whole(
    tx: Transactor, connection: Connection
) -> None:
    """The small form: a few pages are read whole unless that is forbidden."""
    await make_shop(tx, connection)
    await connection.execute("SET enable_seqscan = off")
    found = await _read_whole(connection, ["wireless mouse", "head set", "kebyoard", "KB-87-DE", "walnut chess clock"])
    assert any(each.startswith("search_state:") for each in found)
    # Of one row; and the shops that do not sell are read once a statement, which is what the others' list is for.
    assert [each for each in found if not each.startswith(("search_state:", "sellers:"))] == []


async def test_bands_are_nested_halves_that_prefer_what_sells(tx: Transactor, connection: Connection) -> None:
    await make_shop(tx, connection)
    await connection.execute(_MULTIPLY, 40)
    counted = await connection.fetch(
        "SELECT band, count(*) AS documents, min(popularity) AS popularity FROM search_documents,"
        " unnest(bands) AS band GROUP BY band ORDER BY band"
    )
    sizes = [row["documents"] for row in counted]
    assert [row["band"] for row in counted] == list(range(1, len(sizes) + 1))
    assert sizes[0] == await connection.fetchval("SELECT count(*) FROM search_documents WHERE in_stock")
    assert all(0.4 < after / before < 0.6 for before, after in pairwise(sizes[:5]))
    # Five points of popularity are a band.
    await connection.execute("UPDATE search_documents SET popularity = popularity + 20")
    lifted = await connection.fetchval("SELECT count(*) FROM search_documents WHERE bands @> '{5}'")
    assert lifted == sizes[0]
    assert await lookups.band_sizes(connection, 1600) == [1600, *(1600 / 2**place for place in range(COUNT))]
    await connection.execute("ANALYZE search_documents")
    known = await lookups.band_sizes(connection, 1000)
    assert len(known) == COUNT + 1
    assert known[5] == known[1] == pytest.approx(1000, rel=0.05)
    assert known[8] == pytest.approx(known[5] / 8, rel=0.3)


async def test_whoever_leads_the_same_is_found(tx: Transactor, connection: Connection) -> None:
    await make_shop(tx, connection)
    await connection.execute(_MULTIPLY, 3)
    unit = ReadUnit(connection, None)  # type: ignore[arg-type]
    brand_id = await connection.fetchval(
        "SELECT brand_id FROM search_documents GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    query = SearchQuery("black", brand_ids=(brand_id,))
    reading = await find.understand(connection, query.text)
    found = [await ranking.rank(connection, query, reading, 0, offset=0, limit=50, lead=lead) for lead in Lead]
    assert found[0].candidates > 3
    assert all(each == found[0] for each in found)
    # What is exactly of that name stands first for whoever leads, and once.
    title = await connection.fetchval("SELECT title_key FROM search_documents WHERE brand_id = $1", brand_id)
    query = SearchQuery(title, brand_ids=(brand_id,))
    reading = await find.understand(connection, query.text)
    named = [await ranking.rank(connection, query, reading, 0, offset=0, limit=50, lead=lead) for lead in Lead]
    assert all(each == named[0] for each in named)
    assert len(set(named[0].product_ids)) == named[0].candidates
    assert (await find.find(unit, query, offset=0, limit=50)).product_ids[0] == named[0].product_ids[0]


async def test_the_rarest_words_count_what_all_find_unless_they_find_many(
    tx: Transactor, connection: Connection
) -> None:
    await make_shop(tx, connection)
    groups = (await find.understand(connection, "black wireless mouse")).groups
    one, *others = (group.tsquery for group in groups)
    all_words = " & ".join([one, *others])
    whole = await ranking.count_up_to(connection, all_words, 0, 1000)
    alone = await ranking.count_up_to(connection, one, 0, 1000)
    assert alone > whole
    assert await ranking.count_judged(connection, one, " & ".join(others), alone + 1) == whole
    assert await ranking.count_judged(connection, one, " & ".join(others), alone) is None


@pytest.mark.faults
async def test_no_search_reads_a_table_whole_at_a_hundred_thousand(tx: Transactor, connection: Connection) -> None:
    """With the settings of the planner as they are delivered."""
    shop = await make_shop(tx, connection)
    copies = 100_000 // len(shop.articles) + 1
    await connection.execute(_MULTIPLY, copies - 1)
    await connection.execute("UPDATE search_words SET documents = documents * $1", copies)
    await connection.execute("ANALYZE")
    assert await connection.fetchval("SELECT count(*) FROM search_documents") >= 100_000
    assert await _read_whole(connection, QUERIES) == []
    # Words that more than a thousand have: the best ones all the same, and as many as relevance reaches.
    titles = await find.find(ReadUnit(connection, None), SearchQuery("tent"), offset=0, limit=1000)  # type: ignore[arg-type]
    assert len(set(titles.product_ids)) == 1000
    explained = _Explained(connection)
    await find.find(ReadUnit(cast("Connection", explained), None), SearchQuery("black"), offset=0, limit=25)  # type: ignore[arg-type]
    fronts = {f"ix_search_documents_front_{front}" for front in FRONTS}
    assert explained.led & {*fronts, "ix_search_documents_words"} <= fronts
    assert explained.led & fronts
