"""What the index knows of the words of a query, and which words are like one that it does not know."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from marketd.catalog.search import texts
from marketd.catalog.search.bands import COUNT
from marketd.catalog.search.reading import MAX_WORDS, Word
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
# So many letters each half of a parted word has at least: shorter ones are everywhere by chance.
_PART_LETTERS: Final = 3

_WORD = Columns(Word)


def _lexeme_sql(word: str) -> str:
    """SQL: what the language of the documents makes of one word; NULL for one that it passes over."""
    return f"(tsvector_to_array(to_tsvector(s.language::regconfig, {word})))[1]"


def _count_sql(lexeme: str) -> str:
    return f"COALESCE((SELECT w.documents FROM search_words w WHERE w.word = {lexeme}), 0)"


_WORDS: Final = f"""
tokens AS MATERIALIZED (
  SELECT t.place, t.token AS word, lead(t.token) OVER (ORDER BY t.place) AS following
  FROM (
    SELECT token, ordinality AS place FROM ts_parse('default', {texts.plain_sql("$1::text")}) WITH ORDINALITY
    WHERE tokid <> 12 LIMIT {MAX_WORDS}
  ) t
),
words AS (
  SELECT t.place, t.word, COALESCE(own.lexeme, '') AS lexeme, {_count_sql("own.lexeme")} AS documents,
    COALESCE(joined.lexeme, '') AS joined, COALESCE(joined.documents, 0) AS joined_documents,
    COALESCE(parted.left_lexeme, '') AS left_part, COALESCE(parted.right_lexeme, '') AS right_part,
    COALESCE(parted.documents, 0) AS parted_documents
  FROM search_state s CROSS JOIN tokens t
  CROSS JOIN LATERAL (SELECT {_lexeme_sql("t.word")} AS lexeme OFFSET 0) own
  LEFT JOIN LATERAL (
    SELECT w.word AS lexeme, w.documents FROM search_words w WHERE w.word = {_lexeme_sql("t.word || t.following")}
  ) joined ON own.lexeme IS NOT NULL AND t.following IS NOT NULL
  LEFT JOIN LATERAL (
    SELECT half.left_lexeme, half.right_lexeme, least(l.documents, r.documents) AS documents
    FROM generate_series({_PART_LETTERS}, length(t.word) - {_PART_LETTERS}) AS place
    JOIN search_words written ON written.word = left(t.word, place) AND written.written
    JOIN search_words also ON also.word = substr(t.word, place + 1) AND also.written
    CROSS JOIN LATERAL (
      SELECT {_lexeme_sql("left(t.word, place)")} AS left_lexeme,
        {_lexeme_sql("substr(t.word, place + 1)")} AS right_lexeme OFFSET 0
    ) half
    JOIN search_words l ON l.word = half.left_lexeme JOIN search_words r ON r.word = half.right_lexeme
    ORDER BY documents DESC, place LIMIT 1
  ) parted ON t.word ~ '^[^0-9.]+$' AND length(t.word) <= 40
)
"""

_LOOK_UP: Final = f"""
WITH {_WORDS}
SELECT {_count_sql("''")} AS total, {texts.code_sql("$1::text")} AS code,
  EXISTS (SELECT FROM search_documents d WHERE d.codes @> ARRAY[{texts.code_sql("$1::text")}]) AS is_code,
  ARRAY(SELECT {_WORD.row_sql} FROM words ORDER BY place) AS words
"""


@dataclass(frozen=True, slots=True)
class LookUp:
    """The words of a text in their order; the code that the whole text is, when a product has it; of all documents
    how many.
    """

    words: tuple[Word, ...]
    code: str
    total: int


async def look_up(connection: Connection, text: str) -> LookUp:
    """What the index knows of a text that somebody typed."""
    (row,) = await connection.fetch(_LOOK_UP, text)
    words = tuple(_WORD.from_tuple(tuple(each)) for each in row["words"])
    is_code = row["is_code"] and any(char.isdigit() for char in row["code"])
    return LookUp(words, row["code"] if is_code else "", row["total"])


async def known_words(connection: Connection, words: Collection[str]) -> dict[str, int]:
    """Those of the words that people write, with how many documents have them."""
    rows = await connection.fetch(
        "SELECT word, documents FROM search_words WHERE word = ANY($1::text[]) AND written", list(words)
    )
    return {row["word"]: row["documents"] for row in rows}


async def words_like(connection: Connection, word: str) -> dict[str, int]:
    """Words that share trigrams with it, the likest first; without numbers and codes."""
    rows = await connection.fetch(
        "SELECT word, documents FROM search_words WHERE written AND word ~ '^[^0-9]+$' AND word % $1::text"
        " ORDER BY similarity(word, $1::text) DESC, documents DESC LIMIT 50",
        word,
    )
    return {row["word"]: row["documents"] for row in rows}


async def band_sizes(connection: Connection, total: int) -> list[float]:
    """About how many of `total` documents are in each band, from 0 on, by the database's statistics.

    Before there are any, as if nothing had been sold: each half of the one below.
    """
    row = await connection.fetchrow(
        "SELECT most_common_elems::text::smallint[] AS bands, most_common_elem_freqs::float8[] AS shares FROM pg_stats"
        " WHERE schemaname = current_schema() AND tablename = 'search_documents' AND attname = 'bands'"
    )
    shares = [1.0, *(0.5**place for place in range(COUNT))]
    if row is not None and row["bands"]:
        # The frequencies of arrays carry three further numbers at their end.
        known = dict(zip(row["bands"], row["shares"], strict=False))
        least = min(known.values())
        shares[1:] = [known.get(band, least / 2) for band in range(1, COUNT + 1)]
    return [total * share for share in shares]
