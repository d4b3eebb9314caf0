"""How words that are still being typed go on, by the words and titles that there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from marketd.catalog.search.reading import quoted
from marketd.catalog.search.repository.filters import SELLS
from marketd.catalog.search.repository.leads import in_band
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where

# ruff: noqa: S608 - every interpolated part is a constant here or the place of an argument
# Behind every text that begins with another.
_END: Final = "U&'\\+10FFFF'"
SAMPLE: Final = 300
"""So many products tell how words go on."""
_TITLES: Final = 200


async def completions(connection: Connection, prefix: str, most: int) -> dict[str, int]:
    """The most frequent words that begin so, with how many documents have them."""
    rows = await connection.fetch(
        f"""
        SELECT word, documents FROM search_words WHERE written AND word >= $1::text AND word < $1::text || {_END}
        ORDER BY documents DESC, word LIMIT $2
        """,
        prefix,
        most,
    )
    return {row["word"]: row["documents"] for row in rows}


async def completions_of_any(connection: Connection, prefixes: Collection[str], most: int) -> dict[str, int]:
    """The same for many beginnings at once, of each only what comes first."""
    rows = await connection.fetch(
        f"""
        SELECT word, max(documents) AS documents FROM unnest($1::text[]) AS prefix CROSS JOIN LATERAL (
          SELECT w.word, w.documents FROM search_words w
          WHERE w.written AND w.word >= prefix AND w.word < prefix || {_END} ORDER BY w.word LIMIT 5
        ) found GROUP BY word ORDER BY documents DESC, word LIMIT $2
        """,
        list(prefixes),
        most,
    )
    return {row["word"]: row["documents"] for row in rows}


async def going_on(connection: Connection, tsquery: str, beginning: str, band: int) -> dict[str, int]:
    """The words with that beginning in the names of products that `tsquery` finds, and how often, in a sample."""
    arguments = Arguments(tsquery, beginning)
    rows = await connection.fetch(
        f"""
        SELECT each.word, count(*)::int AS documents FROM {_sample_sql(band, arguments)} found
        CROSS JOIN LATERAL unnest(tsvector_to_array(found.head_words)) AS each(word)
        JOIN search_words w ON w.word = each.word AND w.written
        WHERE starts_with(each.word, $2::text) GROUP BY each.word ORDER BY documents DESC, each.word
        """,
        *arguments,
    )
    return {row["word"]: row["documents"] for row in rows}


async def together(connection: Connection, tsquery: str, words: Sequence[str], band: int) -> dict[str, int]:
    """How often each of the words names a product that `tsquery` finds, in a sample of these; those never so are left
    out.
    """
    arguments = Arguments(f"({tsquery}) & ({' | '.join(map(quoted, words))})", list(words))
    rows = await connection.fetch(
        f"""
        SELECT each.word, count(*)::int AS documents FROM {_sample_sql(band, arguments)} found
        CROSS JOIN LATERAL unnest(tsvector_to_array(found.head_words)) AS each(word)
        WHERE each.word = ANY($2::text[]) GROUP BY each.word ORDER BY documents DESC, each.word
        """,
        *arguments,
    )
    return {row["word"]: row["documents"] for row in rows}


def _sample_sql(band: int, arguments: Arguments) -> str:
    """SQL: names of products of the band that the tsquery $1 finds."""
    demanded = ["d.words @@ $1::tsquery", *in_band(band, arguments), SELLS]
    return f"(SELECT d.head_words FROM search_documents d{where(demanded)} LIMIT {SAMPLE})"


async def titles_from(connection: Connection, beginning: str, most: int) -> list[UUID]:
    """Products whose titles begin so (a title key), what is in stock and sells first."""
    rows = await connection.fetch(
        f"""
        SELECT product_id FROM (
          SELECT d.product_id, d.in_stock, d.popularity, d.title_key FROM search_documents d
          WHERE d.title_key >= $1::text AND d.title_key < $1::text || {_END} AND {SELLS}
          ORDER BY d.title_key LIMIT {_TITLES}
        ) first ORDER BY in_stock DESC, popularity DESC, title_key, product_id LIMIT $2
        """,
        beginning,
        most,
    )
    return [row["product_id"] for row in rows]


async def titles_of(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, str]:
    """What the products are called."""
    rows = await connection.fetch(
        "SELECT product_id, title FROM products WHERE product_id = ANY($1::uuid[])", list(product_ids)
    )
    return {row["product_id"]: row["title"] for row in rows}
