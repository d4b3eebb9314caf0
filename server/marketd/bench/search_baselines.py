"""What one would write first in place of a search: two statements over the same database, for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

DEPTH = 100

# All the words somewhere in the text, in the order in which products were made.
_ILIKE = """
SELECT p.product_id::text FROM products p LEFT JOIN brands b USING (brand_id)
WHERE p.state = 'PUBLISHED' AND concat_ws(' ', p.title, b.name, p.description) ILIKE ALL ($1::text[])
ORDER BY p.product_id LIMIT $2
"""
_PREPARE_TS_RANK = """
CREATE TEMPORARY TABLE baseline AS
  SELECT p.product_id, to_tsvector('english', concat_ws(' ', p.title, b.name, p.description)) AS words
  FROM products p LEFT JOIN brands b USING (brand_id) WHERE p.state = 'PUBLISHED';
CREATE INDEX ON baseline USING gin (words);
ANALYZE baseline
"""
_TS_RANK = """
SELECT product_id::text FROM baseline, plainto_tsquery('english', $1) q WHERE words @@ q
ORDER BY ts_rank(words, q) DESC, product_id LIMIT $2
"""


async def prepare(connection: asyncpg.Connection) -> None:
    """Make what `ts_rank` needs; it is gone with the connection."""
    await connection.execute(_PREPARE_TS_RANK)


async def ilike(connection: asyncpg.Connection, query: str) -> Sequence[str]:
    """The ids of the products that have each word somewhere."""
    patterns = [f"%{word.replace('%', '').replace('_', '')}%" for word in query.split()]
    return [row[0] for row in await connection.fetch(_ILIKE, patterns, DEPTH)]


async def ts_rank(connection: asyncpg.Connection, query: str) -> Sequence[str]:
    """The ids of the products that have each word, by PostgreSQL's own rank."""
    return [row[0] for row in await connection.fetch(_TS_RANK, query, DEPTH)]
