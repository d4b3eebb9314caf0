"""The parts that the lists of brands and categories have in common: keyset conditions, orders, beginnings of names."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.catalog.values import Order
from marketd.kernel.db.sql import Arguments, where

# Behind every text that begins with the same letters, in the collation "C" that name keys have.
_LAST = "\U0010ffff"


def begins(arguments: Arguments, name_prefix: str) -> list[str]:
    """The conditions that a name key begins so; an index on it serves them. None for an empty prefix."""
    if not name_prefix:
        return []
    return [f"name_key >= {arguments.add(name_prefix)}", f"name_key < {arguments.add(name_prefix + _LAST)}"]


def follow(
    arguments: Arguments,
    columns: Sequence[str],
    order: Order,
    after: Sequence[object] | None,
    limit: int,
    conditions: Sequence[str],
) -> str:
    """WHERE, ORDER BY and LIMIT of a page: what meets the conditions and comes after the key, sorted by the columns."""
    every = list(conditions)
    if after is not None:
        key = ", ".join(arguments.add(part) for part in after)
        every.append(f"({', '.join(columns)}) {'<' if order.descending else '>'} ({key})")
    way = " DESC" if order.descending else ""
    by = ", ".join(f"{column}{way}" for column in columns)
    return f"{where(every)} ORDER BY {by} LIMIT {arguments.add(limit)}"
