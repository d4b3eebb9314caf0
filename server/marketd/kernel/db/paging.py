"""The parts that lists have in common: keyset conditions, orders, beginnings of names."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.kernel.db.sql import Arguments, where

# Behind every text that begins with the same letters, in the collation "C" that name keys have.
_LAST = "\U0010ffff"


def begins(arguments: Arguments, column: str, prefix: str) -> list[str]:
    """The conditions that the column, a name key, begins so; an index on it serves them. None for an empty prefix."""
    if not prefix:
        return []
    return [f"{column} >= {arguments.add(prefix)}", f"{column} < {arguments.add(prefix + _LAST)}"]


def follow(
    arguments: Arguments,
    columns: Sequence[str],
    after: Sequence[object] | None,
    limit: int,
    conditions: Sequence[str],
    *,
    descending: bool,
) -> str:
    """WHERE, ORDER BY and LIMIT of a page: what meets the conditions and comes after the key, sorted by the columns."""
    every = list(conditions)
    if after is not None:
        key = ", ".join(arguments.add(part) for part in after)
        every.append(f"({', '.join(columns)}) {'<' if descending else '>'} ({key})")
    way = " DESC" if descending else ""
    by = ", ".join(f"{column}{way}" for column in columns)
    return f"{where(every)} ORDER BY {by} LIMIT {arguments.add(limit)}"
