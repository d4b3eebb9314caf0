"""SQL text in repositories: numbering the arguments of a statement with optional parts, and rows that become values.

A value's columns are its fields: the column list is made of them, and a row is read by name, so no statement and no
reader counts positions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from functools import partial
from operator import attrgetter, itemgetter
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
    makes a field from what the row has of that name. Enums and tuples are made without being asked. Fields of `without`
    are not read and keep their defaults.
    """

    def __init__(
        self,
        kind: type[V],
        *,
        table: str = "",
        expressions: Mapping[str, str] | None = None,
        readers: Mapping[str, Callable[[Any], object]] | None = None,
        without: Collection[str] = (),
    ) -> None:
        given, made = expressions or {}, readers or {}
        self._kind = kind
        self.names = tuple(field.name for field in fields(kind) if field.name not in without)  # type: ignore[arg-type]
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
        self._readers = [
            (place, reader, is_optional)
            for place, name in enumerate(self.names)
            for reader, is_optional in [(made[name], False) if name in made else _reader(hints[name])]
            if reader is not None
        ]
        self._is_by_name = bool(without) or any(field.kw_only for field in fields(kind))  # type: ignore[arg-type]
        # One call for all columns: rows are read where every microsecond is paid a thousand times a second.
        pick = itemgetter(*self.names)
        self._pick: Callable[[Any], Sequence[Any]] = pick if len(self.names) > 1 else lambda row: (pick(row),)

    def value(self, row: Record) -> V:
        """The value of a row; further columns are passed over."""
        return self._make(self._pick(row))

    def values(self, rows: Sequence[Record]) -> list[V]:
        """The value of each row."""
        return [self.value(row) for row in rows]

    def optional(self, row: Record | None) -> V | None:
        """The value of a row that may not be there."""
        return None if row is None else self.value(row)

    def from_tuple(self, composite: Sequence[Any]) -> V:
        """The value of one `row_sql`; PostgreSQL gives such a row no names, so they come from here."""
        return self._make(composite)

    def _make(self, found: Sequence[Any]) -> V:
        """The value of what stands in the order of the fields; that is also the order of the constructor's arguments.

        Lists of products make hundreds of values a call, and keyword arguments would double the cost of each.
        """
        if self._readers:
            given = list(found)
            for place, reader, is_optional in self._readers:
                value = given[place]
                if value is not None or not is_optional:
                    given[place] = reader(value)
            found = given
        if self._is_by_name:
            return self._kind(**dict(zip(self.names, found, strict=True)))
        return self._kind(*found)


class Arrays(Generic[V]):
    """Many values written by one statement: one array a column, which `unnest` makes rows of again.

    columns: the fields that are written, each with its PostgreSQL type, in the statement's order. A jsonb column goes
    over as text. `writers` make what the driver takes of a field.
    """

    def __init__(
        self, columns: Mapping[str, str], *, writers: Mapping[str, Callable[[Any], object]] | None = None
    ) -> None:
        made = writers or {}
        if unknown := set(made) - set(columns):
            raise TypeError(f"{', '.join(sorted(unknown))} is not written")
        self._columns = dict(columns)
        self.names = tuple(columns)
        self._writers = [(place, made[name]) for place, name in enumerate(columns) if name in made]
        pick = attrgetter(*columns)
        self._pick: Callable[[V], Sequence[object]] = pick if len(columns) > 1 else lambda value: (pick(value),)
        self.sql = ", ".join(columns)
        """The columns, for INSERT and for the names of unnest."""

    def places(self, first: int) -> str:
        """The arguments of unnest, from `$first` on."""
        kinds = ["text" if kind == "jsonb" else kind for kind in self._columns.values()]
        return ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds, start=first))

    def select(self, alias: str) -> str:
        """The columns of the unnested rows."""
        return ", ".join(
            f"{alias}.{name}::jsonb" if kind == "jsonb" else f"{alias}.{name}" for name, kind in self._columns.items()
        )

    def __len__(self) -> int:
        return len(self._columns)

    def of(self, values: Sequence[V]) -> list[Sequence[object]]:
        """The arguments: an array for each column."""
        if not values:
            return [() for _ in self._columns]
        arrays: list[Sequence[object]] = list(zip(*map(self._pick, values), strict=True))
        for place, writer in self._writers:
            arrays[place] = [writer(each) for each in arrays[place]]
        return arrays


def _each(kind: Callable[[Iterable[object]], object], element: Callable[[Any], object], value: Iterable[Any]) -> object:
    return kind(element(each) for each in value)


def _reader(hint: Any) -> tuple[Callable[[Any], object] | None, bool]:
    """How a value of the driver becomes one of the type, None when it is one already; and whether NULL stays None."""
    if get_origin(hint) in (Union, UnionType):
        inner = [part for part in get_args(hint) if part is not NoneType]
        return (_reader(inner[0])[0] if len(inner) == 1 else None), True
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint, False
    for kind in (tuple, frozenset):
        if get_origin(hint) is kind:
            element, _ = _reader(get_args(hint)[0])
            return (kind if element is None else partial(_each, kind, element)), False
    return None, False
