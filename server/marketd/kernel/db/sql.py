"""SQL text in repositories: numbering the arguments of a statement with optional parts, and rows that become values.

A value's columns are its fields: the column list is made of them, and a row is read by name, so no statement and no
reader counts positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from marketd.kernel.db.database import Record

V = TypeVar("V")


class Arguments:
    """The arguments of one statement, numbered as they are added.

    `f"state = {arguments.add(state)}"` in the text, and `*arguments` behind it.
    """

    def __init__(self, *values: object) -> None:
        self._values = list(values)

    def add(self, value: object) -> str:
        """The place of the value in the statement, such as `$3`."""
        self._values.append(value)
        return f"${len(self._values)}"

    def __iter__(self) -> Iterator[object]:
        return iter(self._values)


def where(conditions: Sequence[str]) -> str:
    """` WHERE a AND b`, or nothing without conditions."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


class Columns(Generic[V]):
    """The columns of the dataclass `kind`, and its values out of rows that have them.

    `table` qualifies the columns. `expressions` gives the SQL of fields that are no column of that name. `readers`
    makes a field from what the row has of that name. Enums and tuples are made without being asked.
    """

    def __init__(
        self,
        kind: type[V],
        *,
        table: str = "",
        expressions: Mapping[str, str] | None = None,
        readers: Mapping[str, Callable[[Any], object]] | None = None,
    ) -> None:
        given, made = expressions or {}, readers or {}
        self._kind = kind
        self.names = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
        unknown = {*given, *made} - set(self.names)
        if unknown:
            raise TypeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
        qualifier = f"{table}." if table else ""
        self._sources = [given.get(name, f"{qualifier}{name}") for name in self.names]
        self.sql = ", ".join(
            f"{given[name]} AS {name}" if name in given else f"{qualifier}{name}" for name in self.names
        )
        """For SELECT and RETURNING."""
        self.row_sql = f"ROW({', '.join(self._sources)})"
        """The same as one composite value, for arrays of lines; `from_tuple` reads it.

        asyncpg decodes no array inside of it unless it knows the array's type by chance: use `to_jsonb` there.
        """
        hints = get_type_hints(kind)
        readers_in_order = [made.get(name) or _reader(hints[name]) for name in self.names]
        self._readers = [(place, reader) for place, reader in enumerate(readers_in_order) if reader is not None]
        self._has_places = not any(field.kw_only for field in fields(kind))  # type: ignore[arg-type]

    def value(self, row: Record) -> V:
        """The value of a row; further columns are passed over."""
        return self._made([row[name] for name in self.names])

    def values(self, rows: Sequence[Record]) -> list[V]:
        """The value of each row."""
        return [self.value(row) for row in rows]

    def optional(self, row: Record | None) -> V | None:
        """The value of a row that may not be there."""
        return None if row is None else self.value(row)

    def from_tuple(self, composite: Sequence[Any]) -> V:
        """The value of one `row_sql`; PostgreSQL gives such a row no names, so they come from here."""
        return self._made(list(composite))

    def _made(self, found: list[Any]) -> V:
        """The value of what stands in the order of the fields; that is also the order of the constructor's arguments.

        Lists of products make hundreds of values a call, and keyword arguments would double the cost of each.
        """
        for place, reader in self._readers:
            found[place] = reader(found[place])
        if self._has_places:
            return self._kind(*found)
        return self._kind(**dict(zip(self.names, found, strict=True)))


def _unless_none(reader: Callable[[Any], object], value: object) -> object:
    return None if value is None else reader(value)


def _each(kind: Callable[[Iterable[object]], object], element: Callable[[Any], object], value: Iterable[Any]) -> object:
    return kind(element(each) for each in value)


def _reader(hint: Any) -> Callable[[Any], object] | None:
    """How a value of the driver becomes one of the type; None when it is one already."""
    if get_origin(hint) in (Union, UnionType):
        inner = [part for part in get_args(hint) if part is not NoneType]
        reader = _reader(inner[0]) if len(inner) == 1 else None
        return None if reader is None else partial(_unless_none, reader)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if get_origin(hint) is tuple:
        element = _reader(get_args(hint)[0])
        return tuple if element is None else partial(_each, tuple, element)
    if get_origin(hint) is frozenset:
        element = _reader(get_args(hint)[0])
        return frozenset if element is None else partial(_each, frozenset, element)
    return None
