"""The ranking of what a query finds, computed by the database over the short vectors of what products are called.

A document's score is the sum over its words of

    weight · tf / (tf + K · (1 - B + B · ln(1 + length) / ln(1 + LENGTH)))

(BM25; Robertson and Zaragoza, 2009). tf is what ts_rank makes of one word: its heaviest occurrence counts fully and
each further one less, with PostgreSQL's own weights of fields; the constant undoes the share that ts_rank takes for
many. What only the description, the options or the attributes say counts like the lightest field. Length counts by its
logarithm, as in ts_rank, and B is small: a longer title mostly says more, and not something else. What neighbours of
the query add that are neighbours in the title is said in reading.py. Popularity adds at most a twentieth: it decides
between likes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from uuid import UUID

from marketd.catalog.names import title_key
from marketd.catalog.search.model import sampled_sql
from marketd.catalog.search.reading import NEARNESS, Group, Reading, Term, quoted
from marketd.catalog.search.repository.filters import SELLS, filter_conditions
from marketd.catalog.search.repository.leads import Lead, by_no_index, in_band
from marketd.catalog.search.values import MAX_RELEVANT, SearchQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where

# ruff: noqa: S608 - every interpolated part is a column, a constant here or the place of an argument
_FIELDS: Final = "'{0.1,0.2,0.4,1}'"
_LIGHTEST: Final = 0.1
_ONE_WORD: Final = 1.64493406685
_K: Final = 0.6
_B: Final = 0.25
_LENGTH: Final = 20
_POPULARITY: Final = 2000

_EXACT: Final = "SELECT e.product_id FROM exact e"
# Of the title only: codes and tags are not said at length.
_STIFFNESS: Final = (
    f"{_K * (1 - _B)} + {_K * _B / math.log(1 + _LENGTH):.4f} * ln(1 + length(ts_filter(d.head_words, '{{a}}')))"
)
# Long vectors are compressed, or elsewhere: unpacked once, not for each word that is looked for in them.
_UNPACKED: Final = "d.words || ''::tsvector"


@dataclass(frozen=True, slots=True)
class Ranked:
    """Some of the documents that were ranked, and how many these were."""

    candidates: int
    product_ids: Sequence[UUID]


async def count_up_to(connection: Connection, tsquery: str, band: int, most: int) -> int:
    """How many documents of the band the words find, at most `most`; whichever shop's."""
    arguments = Arguments()
    demands = _found_by(tsquery, band, arguments)
    found: int = await connection.fetchval(
        f"SELECT count(*) FROM (SELECT FROM search_documents d WHERE {demands} LIMIT {arguments.add(most)}) few",
        *arguments,
    )
    return found


async def count_judged(connection: Connection, rarest: str, others: str, most: int) -> int | None:
    """How many documents meet both, found by the rarest words alone: an index is asked for few words in a fraction of
    the time. None when these find `most` or more.
    """
    row = await connection.fetchrow(
        "WITH d AS MATERIALIZED (SELECT d.words FROM search_documents d WHERE d.words @@ $1::tsquery LIMIT $3)"
        " SELECT count(*)::int AS looked_at, count(*) FILTER (WHERE d.words @@ $2::tsquery)::int AS found FROM d",
        rarest,
        others,
        most,
    )
    assert row is not None  # noqa: S101 - aggregates have a row
    return None if row["looked_at"] >= most else row["found"]


async def count_sampled(connection: Connection, tsquery: str, parts: int, most: int) -> int:
    """The same of one in so many documents; at a fraction of the price, however many have each of the words."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM search_documents d"
        f" WHERE d.words @@ $1::tsquery AND {sampled_sql(parts)} LIMIT $2) few",
        tsquery,
        most,
    )
    return found


async def rank(
    connection: Connection,
    query: SearchQuery,
    reading: Reading,
    band: int,
    *,
    above: int = 0,
    offset: int,
    limit: int,
    lead: Lead = Lead.BOTH,
) -> Ranked:
    """The best of the documents in the band that the words find and the filters leave.

    First what is exactly of that code or title, then what has all of the words, then what is in stock. above: without
    all that this finds in that band. lead: whose index finds them.
    """
    sql, arguments = ranking_sql(query, reading, band, above=above, offset=offset, limit=limit, lead=lead)
    (row,) = await connection.fetch(sql, *arguments)
    return Ranked(row["candidates"], row["product_ids"])


def ranking_sql(
    query: SearchQuery,
    reading: Reading,
    band: int,
    *,
    above: int = 0,
    offset: int,
    limit: int,
    lead: Lead = Lead.BOTH,
) -> tuple[str, Arguments]:
    """The statement of `rank` and its arguments."""
    arguments = Arguments(offset, limit, title_key(query.text))
    exact = ["d.title_key = $3::text"]
    if reading.code:
        exact.append(f"d.codes @> ARRAY[{arguments.add(reading.code)}::text]")
    filters = filter_conditions(query, arguments)
    narrowed = [*(map(by_no_index, filters) if lead is Lead.WORDS else filters), SELLS]
    exactly = " UNION ".join(
        # What stands outside finds the few of that name; the rest judges these, or the planner might choose otherwise.
        f"SELECT d.product_id FROM (SELECT * FROM search_documents d WHERE {each} OFFSET 0) d{where(narrowed)}"
        for each in exact
    )
    all_words = "false" if reading.is_none_whole else "true"
    if reading.is_any and not reading.is_none_whole:
        all_words = f"d.words @@ {arguments.add(reading.all_words)}::tsquery"
    found = _found(reading, band, exact[1:], arguments)
    found = by_no_index(found) if lead in (Lead.FILTERS, Lead.WALK) else found
    beside, first = "", ""
    if lead is Lead.WALK:
        narrowed.append(f"d.product_id NOT IN ({_EXACT})")
        first = f"ORDER BY d.in_stock DESC, d.popularity DESC, d.product_id DESC LIMIT {MAX_RELEVANT}"
        beside = f"""UNION ALL
          SELECT d.product_id, d.in_stock, true, 0 FROM search_documents d WHERE d.product_id IN ({_EXACT})"""
    elif above:
        narrowed += [f"NOT {_found(reading, above, exact[1:], arguments)}", f"d.product_id NOT IN ({_EXACT})"]
    else:
        beside = f"""UNION ALL
          SELECT d.product_id, d.in_stock, true, 0 FROM search_documents d
          WHERE d.product_id IN ({_EXACT}) AND NOT {found}"""
    score = " + ".join([*(_group(each, reading, arguments) for each in reading.groups), *_nearness(reading, arguments)])
    return (
        f"""
        WITH exact AS MATERIALIZED ({exactly}),
        candidates AS MATERIALIZED (
          SELECT d.product_id, d.in_stock, {all_words} AS all_words,
            ({score or "0"}) * (1 + d.popularity::float8 / {_POPULARITY}) AS score
          FROM (
            SELECT d.product_id, d.in_stock, d.popularity, d.head_words, {_UNPACKED} AS words, {_STIFFNESS} AS stiffness
            FROM search_documents d{where([found, *narrowed])} {first} OFFSET 0
          ) d
          {beside}
        )
        SELECT (SELECT count(*)::int FROM candidates) AS candidates, ARRAY(
          SELECT c.product_id FROM candidates c
          ORDER BY c.product_id IN ({_EXACT}) DESC, c.all_words DESC, c.in_stock DESC,
            c.score DESC, c.product_id
          OFFSET $1 LIMIT $2
        ) AS product_ids
        """,
        arguments,
    )


def _found(reading: Reading, band: int, coded: Sequence[str], arguments: Arguments) -> str:
    """That a document is among those that are ranked of a band. coded: what demands the code that the query is."""
    ways = list(coded)
    if reading.is_any:
        ways += [] if reading.is_none_whole else [_found_by(reading.all_words, 0, arguments)]
        ways.append(_found_by(reading.any_words, band, arguments))
    elif reading.groups:
        telling = _found_by(reading.seldom_words, band, arguments)
        others = reading.mostly_words
        judged = f" AND {by_no_index(f'd.words @@ {arguments.add(others)}::tsquery')}" if others else ""
        ways.append(f"({telling}{judged})")
    return f"({' OR '.join(ways)})" if ways else "false"


def _found_by(tsquery: str, band: int, arguments: Arguments) -> str:
    return f"({' AND '.join([f'd.words @@ {arguments.add(tsquery)}::tsquery', *in_band(band, arguments)])})"


def _saturated(tsquery: str, arguments: Arguments) -> str:
    """How much of a word's weight the document earns, 0..1. tsquery: of one lexeme."""
    rank = f"ts_rank({_FIELDS}, d.head_words, {arguments.add(tsquery)}::tsquery)"
    return f"(1 - d.stiffness / (greatest({rank} * {_ONE_WORD}, {_LIGHTEST}) + d.stiffness))"


def _term(term: Term, reading: Reading, arguments: Arguments) -> str:
    earned = f"{arguments.add(term.weight)}::float8 * {_saturated(quoted(term.lexeme), arguments)}"
    if not reading.is_any:
        return earned
    lexeme = f"{arguments.add(quoted(term.lexeme))}::tsquery"
    return f"CASE WHEN d.head_words @@ {lexeme} OR d.words @@ {lexeme} THEN {earned} ELSE 0 END"


def _group(group: Group, reading: Reading, arguments: Arguments) -> str:
    """The best of the ways in which the document has it."""
    terms = " + ".join(_term(term, reading, arguments) for term in group.terms)
    if group.joined is not None:
        lexeme = quoted(group.joined.lexeme)
        ways = [f"{arguments.add(group.joined.weight)}::float8 * {_saturated(lexeme, arguments)}"]
        if terms:
            ways.append(f"CASE WHEN d.words @@ {arguments.add(group.terms_tsquery)}::tsquery THEN {terms} ELSE 0 END")
        is_joined = f"d.words @@ {arguments.add(lexeme)}::tsquery"
        return f"CASE WHEN {is_joined} THEN greatest({', '.join(ways)}) ELSE {terms or '0'} END"
    if group.parts is not None:
        parts = f"{arguments.add(group.parts.tsquery)}::tsquery"
        tf = f"CASE WHEN d.head_words @@ {parts} THEN 1 WHEN d.words @@ {parts} THEN {_LIGHTEST} ELSE 0 END"
        ways = [f"{arguments.add(group.parts.weight)}::float8 * (1 - d.stiffness / ({tf} + d.stiffness))"]
        if terms:
            ways.append(f"CASE WHEN d.words @@ {arguments.add(group.terms_tsquery)}::tsquery THEN {terms} ELSE 0 END")
        return f"greatest({', '.join(ways)})"
    return f"({terms})"


def _nearness(reading: Reading, arguments: Arguments) -> list[str]:
    """What neighbours of the query earn that are neighbours in the title: all when in that order, else half."""
    terms = [term for group in reading.groups for term in group.terms]
    found = []
    for one, other in pairwise(terms):
        left, right = f"{quoted(one.lexeme)}:A", f"{quoted(other.lexeme)}:A"
        near = NEARNESS * min(one.weight, other.weight)
        in_order = f"{left} <-> {right}"
        either = arguments.add(f"{in_order} | {left} <2> {right} | {right} <-> {left}")
        found.append(
            f"CASE WHEN d.head_words @@ {either}::tsquery THEN CASE"
            f" WHEN d.head_words @@ {arguments.add(in_order)}::tsquery THEN {arguments.add(near)}::float8"
            f" ELSE {arguments.add(near / 2)}::float8 END ELSE 0 END"
        )
    return found
