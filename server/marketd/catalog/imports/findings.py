"""Rows of a product by the names of their columns, and what is found wrong in them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, cast

from marketd.catalog.imports.cells import line
from marketd.catalog.imports.header import Layout
from marketd.catalog.imports.parsed import BadCell, RowError, RowReason, RowWarning

T = TypeVar("T")


class Record:
    """The cells of one row, by the names of Layout.columns."""

    __slots__ = ("_cells", "_places", "number")

    def __init__(self, number: int, cells: tuple[str, ...], places: Mapping[str, int]) -> None:
        self.number = number
        self._cells = cells
        self._places = places

    def __getitem__(self, column: str) -> str:
        return self._cells[self._places[column]]

    @property
    def note(self) -> str:
        """What was odd about the row though it could be read; mostly empty."""
        return self._cells[len(self._places)] if len(self._cells) > len(self._places) else ""

    def with_cells(self, change: Callable[[str], str]) -> Record:
        """The same row with each cell changed."""
        return Record(self.number, tuple(map(change, self._cells)), self._places)

    def has(self, *columns: str) -> bool:
        """Whether one of the cells is filled."""
        return any(self._cells[self._places[column]] for column in columns)


class Findings:
    """What is wrong with a product, and what is passed over in it."""

    def __init__(self, layout: Layout, handle: str) -> None:
        self._layout = layout
        self._handle = handle
        self.errors: list[RowError] = []
        self.warnings: list[RowWarning] = []

    def name(self, column: str) -> str:
        """What the file calls the column."""
        return self._layout.name(column)

    def notes(self, records: Iterable[Record]) -> None:
        """Tell what was odd about the rows as such."""
        for record in records:
            if record.note:
                self.warn(record, "", RowReason.MALFORMED_ROW, record.note)

    def fail(self, record: Record, column: str, reason: RowReason, message: str) -> None:
        """The product cannot come in because of this cell."""
        name = self._layout.name(column) if column else ""
        self.errors.append(RowError(record.number, name, reason, message, self._handle))

    def warn(self, record: Record, column: str, reason: RowReason, message: str) -> None:
        """The product comes in, with this left out or changed."""
        name = self._layout.name(column) if column else ""
        self.warnings.append(RowWarning(record.number, name, reason, message, self._handle))

    def needed(self, record: Record, column: str, read: Callable[[str], T]) -> T | None:
        """The cell's value; where it has none, the product fails and it is None."""
        try:
            return read(record[column])
        except BadCell as bad:
            self.fail(record, column, bad.reason, bad.message)
            return None

    def wanted(self, record: Record, column: str, read: Callable[[str], T], otherwise: T) -> T:
        """The cell's value; where it has none a warning tells, and it is what comes nearest, or `otherwise`."""
        return self.part(record, column, record[column], read, otherwise)

    def part(self, record: Record, column: str, text: str, read: Callable[[str], T], otherwise: T) -> T:
        """The value of a part of the cell, as `wanted` gives that of the whole."""
        if not text:
            return otherwise
        try:
            return read(text)
        except BadCell as bad:
            if bad.instead is not None:
                self.warn(record, column, bad.reason, bad.message)
                return cast("T", bad.instead)
            # What comes in instead is known here alone.
            taken = f"counts as {str(otherwise).lower()}" if isinstance(otherwise, bool) else "it is left out"
            self.warn(record, column, bad.reason, f"{bad.message}; {taken}")
            return otherwise

    def text(self, record: Record, column: str, most: int) -> str:
        """A text of one line, cut where it is too long."""
        found = self.clean(record, column)
        if len(found) > most:
            self.warn(record, column, RowReason.TOO_LONG, f"has {len(found)} characters and is cut to {most}")
            return found[: most - 1].rstrip() + "…"
        return found

    def clean(self, record: Record, column: str) -> str:
        """A text of one line, of any length."""
        text = record[column]
        if text.isascii() and text.isprintable():
            return text
        return self.wanted(record, column, line, "")
