"""What the index knows of the words of a query, and which words are like one that it does not know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from marketd.catalog.search import texts
from marketd.catalog.search.bands import COUNT
from marketd.catalog.search.model import SAMPLED_PARTS, sampled_sql
from marketd.catalog.search.reading import MAX_WORDS, Word, quoted
from marketd.catalog.search.repository.filters import SELLS
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is one of the constants here
# So many letters each half of a parted word has at least: shorter ones are everywhere by chance.
_PART_LETTERS: Final = 2
_LONGEST: Final = 40

# What it is perhaps a slip of takes further looks.
_WORD = Columns(Word, expressions={"likely": "''::text", "likely_documents": "0"})


def _lexeme_sql(word: str) -> str:
    """SQL: what the language of the documents makes of one word; NULL for one that it passes over."""
    return f"(tsvector_to_array(to_tsvector(s.language, {word})))[1]"


def _count_sql(lexeme: str) -> str:
    return f"COALESCE((SELECT w.documents FROM search_words w WHERE w.word = {lexeme}), 0)"


def _is_written_sql(word: str) -> str:
    return f"COALESCE((SELECT w.written FROM search_words w WHERE w.word = {word}), false)"


# Words are looked up one by one in scalar subqueries: joined, the planner might read all words to find a few.
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
    COALESCE(joined.lexeme, '') AS joined, {_count_sql("joined.lexeme")} AS joined_documents,
    COALESCE(parted.left_lexeme, '') AS left_part, COALESCE(parted.right_lexeme, '') AS right_part,
    COALESCE(parted.documents, 0) AS parted_documents
  FROM (
    SELECT CASE WHEN $2::boolean THEN 'simple' ELSE language END::regconfig AS language FROM search_state OFFSET 0
  ) s CROSS JOIN tokens t
  CROSS JOIN LATERAL (SELECT {_lexeme_sql("t.word")} AS lexeme OFFSET 0) own
  CROSS JOIN LATERAL (
    SELECT CASE WHEN own.lexeme IS NOT NULL THEN {_lexeme_sql("t.word || t.following")} END AS lexeme OFFSET 0
  ) joined
  LEFT JOIN LATERAL (
    SELECT half.left_lexeme, half.right_lexeme, count.documents
    FROM (
      SELECT generate_series({_PART_LETTERS}, length(t.word) - {_PART_LETTERS}) AS place LIMIT {_LONGEST}
    ) cut
    CROSS JOIN LATERAL (
      SELECT {_is_written_sql("left(t.word, cut.place)")} AND {_is_written_sql("substr(t.word, cut.place + 1)")} AS both
      OFFSET 0
    ) written
    CROSS JOIN LATERAL (
      SELECT {_lexeme_sql("left(t.word, cut.place)")} AS left_lexeme,
        {_lexeme_sql("substr(t.word, cut.place + 1)")} AS right_lexeme OFFSET 0
    ) half
    CROSS JOIN LATERAL (
      SELECT least({_count_sql("half.left_lexeme")}, {_count_sql("half.right_lexeme")}) AS documents OFFSET 0
    ) count
    WHERE written.both AND count.documents > 0 ORDER BY count.documents DESC, cut.place LIMIT 1
  ) parted ON t.word ~ '^[^0-9.]+$' AND length(t.word) <= {_LONGEST}
)
"""

_LOOK_UP: Final = f"""
WITH {_WORDS}
SELECT {_count_sql("''")} AS total, ARRAY(SELECT {_WORD.row_sql} FROM words ORDER BY place) AS words
"""

# Counted, not only looked whether there is one: for that the planner might begin to read the table.
_CODE: Final = f"""
SELECT code.spelled,
  (SELECT count(*) FROM search_documents d WHERE d.codes @> ARRAY[code.spelled] AND {SELLS}) AS products
FROM (SELECT {texts.code_sql("$1::text")} AS spelled OFFSET 0) code
"""


# Of a word that more documents have a sample is looked at, in which a dozen of them are at the least.
_LOOKED_AT: Final = 200
_ALL_SELL: Final = f"(SELECT NOT EXISTS ({sellers.stopped_sql()}))"


@dataclass(frozen=True, slots=True)
class LookUp:
    """The words of a text in their order, and how many documents there are."""

    words: tuple[Word, ...]
    total: int


async def look_up(connection: Connection, text: str, *, as_written: bool = False) -> LookUp:
    """What the index knows of a text that somebody typed; of its words as they are written, or as they are reduced."""
    (row,) = await connection.fetch(_LOOK_UP, text, as_written)
    words = tuple(_WORD.from_tuple(tuple(each)) for each in row["words"])
    return LookUp(words, row["total"])


async def code_of(connection: Connection, text: str) -> str:
    """The SKU or barcode that the whole text is, as codes are spelled; empty when no product that is sold has it.

    One without a digit is none: what is called `headset` would stand before all headsets.
    """
    if not any(char.isdigit() for char in text):
        return ""
    (row,) = await connection.fetch(_CODE, text)
    return row["spelled"] if row["products"] else ""


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


async def for_sale(connection: Connection, words: Mapping[str, int]) -> list[str]:
    """Those of the words that a product of a shop that sells has, in their order: no other word is named to somebody
    who has not typed it. words: with how many documents have each.

    Counted, for the same reason as codes; and not at all while every shop sells.
    """
    if not words:
        return []
    arguments = Arguments()
    looks = [
        f"({arguments.add(word)}::text, CASE WHEN {_ALL_SELL} THEN true ELSE"
        f" (SELECT count(*) FROM search_documents d WHERE d.words @@ {arguments.add(quoted(word))}::tsquery"
        f"{_sampled(documents)} AND {SELLS}) > 0 END)"
        for word, documents in words.items()
    ]
    rows = await connection.fetch(
        f"SELECT looks.word FROM (VALUES {', '.join(looks)}) looks(word, is_sold) WHERE looks.is_sold", *arguments
    )
    sold = {row["word"] for row in rows}
    return [word for word in words if word in sold]


def _sampled(documents: int) -> str:
    """The condition of the smallest sample that still has a dozen of so many documents; none for a few."""
    if documents <= _LOOKED_AT:
        return ""
    enough = (parts for parts in reversed(SAMPLED_PARTS) if documents * SAMPLED_PARTS[0] >= _LOOKED_AT * parts)
    return f" AND {sampled_sql(next(enough))}"


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
