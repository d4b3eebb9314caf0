"""Import files as tables: what the header says, and the rows below it with the cells of the known columns. Pure but for
the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports.csv_file import Reading, Row, read_rows
from marketd.catalog.imports.header import read_layout
from marketd.kernel.values.texts import text_problem

MAX_HANDLE = 255
NO_KEY = "the row does not say which product it belongs to"
"""What is wrong with a row that has neither a key nor a problem (MISSING_VALUE of the column Layout.names[0])."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row. `key` is the product that it belongs to (its handle as found), "" if it names none.

    problem: what is wrong with the row as a whole, and then it has no cells. cells: those of Layout.columns, stripped.
    """

    number: int
    key: str
    cells: tuple[str, ...]
    problem: str = ""


class Table:
    """An import file. Read its rows once; what the file told meanwhile (`layout`, `unused`) is whole after them."""

    def __init__(self, header: Row, rows: Iterator[Row], reading: Reading) -> None:
        self.layout, self._places = read_layout(header.cells, header.number)
        self._rows = rows
        self._reading = reading
        used = {place for place in self._places if place is not None}
        self._width = len(header.cells)
        self._unused = {place: 0 for place in range(self._width) if place not in used}
        self._names = header.cells

    def rows(self) -> Iterator[TableRow]:
        """The rows below the header; blank ones are not given. Raises ImportFileInvalid and ReadingStopped."""
        key_place = self._places[0] or 0
        for row in self._rows:
            self._reading.rows_read += 1
            self._reading.step()
            problem = row.problem
            if not problem and len(row.cells) != self._width:
                problem = f"the row has {len(row.cells)} cells and the header has {self._width}"
            key = row.cells[key_place].strip().lower() if key_place < len(row.cells) else ""
            if text_problem(key) or (problem and len(key) > MAX_HANDLE):
                key = ""
            if problem:
                yield TableRow(row.number, key, (), problem)
                continue
            for place in self._unused:
                if row.cells[place] and not row.cells[place].isspace():
                    self._unused[place] += 1
            cells = tuple("" if place is None else row.cells[place].strip() for place in self._places)
            yield TableRow(row.number, key, cells)

    def unused(self) -> Mapping[str, int]:
        """The columns that hold something and are not used, in the order of the file: how many rows have it filled."""
        found: dict[str, int] = {}
        for place, count in self._unused.items():
            if count:
                name = self._names[place].strip() or f"column {place + 1}"
                found[name] = max(count, found.get(name, 0))
        return found


def open_table(file: BinaryIO, reading: Reading) -> Table:
    """The table in a file. Raises ImportFileInvalid for what is none, saying what it is and what to do."""
    rows = read_rows(file)
    header = next(rows, None)
    if header is None:
        raise ImportFileInvalid(1, "", "the file is empty")
    if header.problem:
        raise ImportFileInvalid(header.number, "", header.problem)
    return Table(header, rows, reading)
