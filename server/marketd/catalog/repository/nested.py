"""Rows inside of a row, such as a product's variants: asyncpg decodes neither JSON nor an array there, so both come as
text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from marketd.catalog.names import Options
from marketd.kernel.db.sql import Columns
from marketd.media.values import Picture, picture_of


def options_of(text: str) -> Options:
    """The options of a variant out of `options::text`."""
    return tuple((name, value) for name, value in orjson.loads(text)) if text != "[]" else ()


def ids_of(text: str) -> tuple[UUID, ...]:
    """Ids out of an array of them as text."""
    return tuple(UUID(each) for each in text.strip("{}").split(",") if each)


@lru_cache(maxsize=4096)
def picture_from(text: str | None) -> Picture | None:
    """The picture out of media's PICTURE_SQL as text. A media never changes, so neither does what its text says."""
    return None if text is None else picture_of(orjson.loads(text))


def each(columns: Columns[Any]) -> Callable[[Sequence[Any] | None], tuple[Any, ...]]:
    """Reads an array of `columns.row_sql`; NULL, when it was not asked for, is none."""
    return lambda rows: tuple(map(columns.from_tuple, rows or ()))
