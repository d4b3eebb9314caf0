"""The catalog that growth is measured with: what was copied straight into the tables is what the server would write."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from marketd.bench.growth_data import grow, is_grown
from marketd.catalog.search import documents, words
from marketd.catalog.search.invariants import INVARIANTS
from marketd.kernel.db.invariants import violations

_ALIKE = (
    "SELECT product_id, seller_id, brand_id, publish_time, price_minor, sample_key, sold_30d, rating_count,"
    " rating_average_milli, popularity, in_stock, category_path, attribute_keys, codes, title_key, bands,"
    " tsvector_to_array(strip(words)) AS words FROM search_documents ORDER BY product_id"
)


async def test_copies_have_the_documents_and_counts_that_the_server_would_make(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketd.bench.growth_data._OWN", 40)
    connection = await asyncpg.connect(database_url)
    try:
        assert not await is_grown(connection, 100, None)
        grown = await grow(connection, 100)
        assert (grown.products, grown.originals) == (100, 40)
        before = [dict(row) for row in await connection.fetch(_ALIKE)]
        counts = await connection.fetch("SELECT word, documents FROM search_words ORDER BY word")
        assert counts == await connection.fetch(f"{words.COUNTS_SQL} ORDER BY word")
        assert await violations(connection, INVARIANTS) == []
        await documents.write_documents(connection, [row["product_id"] for row in before])
        assert [dict(row) for row in await connection.fetch(_ALIKE)] == before
        with pytest.raises(RuntimeError, match="take an empty database"):
            await grow(connection, 100)
        assert await is_grown(connection, 100, None)
        for products, source in ((101, None), (100, Path(__file__))):
            with pytest.raises(RuntimeError, match="remove its folder"):
                await is_grown(connection, products, source)
    finally:
        await connection.close()
