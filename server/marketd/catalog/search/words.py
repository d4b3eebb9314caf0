"""In how many documents each word stands: counted by one leader, soon after documents were written.

A writer only notes what changed (search_word_changes): the counts themselves are rows that every writer would wait for.
The counts and what waits to be counted are together always exact.
"""

from __future__ import annotations

from typing import Final

from marketd.catalog.search import texts
from marketd.kernel.db.database import Connection

# ruff: noqa: S608 - every interpolated part is one of the constants here
BATCH: Final = 500
"""So many noted changes are counted in one transaction."""

# Any fixed number: whoever counts holds it. What falls to nothing here and is new there would be lost otherwise.
_LOCK: Final = 7_201_977_206

# A product's changes are noted in the order of their ids, so no word is taken away before it was added.
_COUNT: Final = """
WITH taken AS MATERIALIZED (
  DELETE FROM search_word_changes WHERE change_id IN (
    SELECT change_id FROM search_word_changes ORDER BY change_id LIMIT $1
  ) RETURNING added, removed, written
),
changes AS MATERIALIZED (
  SELECT word, sum(difference)::int AS difference, bool_or(written) AS written FROM (
    SELECT unnest(added) AS word, 1 AS difference, false AS written FROM taken
    UNION ALL SELECT unnest(removed), -1, false FROM taken
    UNION ALL SELECT unnest(written), 0, true FROM taken
  ) each GROUP BY word
),
gone AS (
  DELETE FROM search_words w USING changes c WHERE w.word = c.word AND w.documents + c.difference <= 0
),
changed AS (
  UPDATE search_words w SET documents = w.documents + c.difference, written = w.written OR c.written
  FROM changes c WHERE w.word = c.word AND w.documents + c.difference > 0
    AND (c.difference <> 0 OR (c.written AND NOT w.written))
),
new AS (
  INSERT INTO search_words (word, documents, written)
  SELECT c.word, c.difference, c.written FROM changes c
  WHERE c.difference > 0 AND NOT EXISTS (SELECT FROM search_words w WHERE w.word = c.word)
)
SELECT count(*) FROM taken
"""

COUNTS_SQL: Final = f"""
SELECT word, count(*)::int AS documents
FROM (SELECT unnest({texts.lexemes_sql("words")}) AS word FROM search_documents) each GROUP BY word
"""
"""In how many documents each word stands, as a look at all documents says."""

# One statement sees one state: the documents and the noted changes that are already in them.
_RECOUNT: Final = f"""
WITH noted AS (DELETE FROM search_word_changes RETURNING written),
known AS (
  SELECT word FROM search_words WHERE written UNION SELECT unnest(written) FROM noted
),
counts AS MATERIALIZED ({COUNTS_SQL}),
gone AS (
  DELETE FROM search_words w WHERE NOT EXISTS (SELECT FROM counts c WHERE c.word = w.word)
)
INSERT INTO search_words AS w (word, documents, written)
SELECT c.word, c.documents, k.word IS NOT NULL FROM counts c LEFT JOIN known k ON k.word = c.word
ON CONFLICT (word) DO UPDATE SET documents = excluded.documents, written = excluded.written
WHERE (w.documents, w.written) <> (excluded.documents, excluded.written)
"""


async def count(connection: Connection) -> int:
    """Count one batch of noted changes; how many they were, at most BATCH. Waits for whoever counts."""
    await _lock(connection)
    taken: int = await connection.fetchval(_COUNT, BATCH)
    return taken


async def recount(connection: Connection) -> None:
    """Make the counts anew out of the documents; which words people write stays as far as it is known.

    A minute or two for a million documents, while others write and search.
    """
    await _lock(connection)
    await connection.execute(_RECOUNT)


async def _lock(connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
