"""Import files as tables: what the header says, and the rows below it with the cells of the known columns. Pure but for
the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports.cells import is_flag
from marketd.catalog.imports.csv_file import CsvFile, Reading, Row
from marketd.catalog.imports.families import Families
from marketd.catalog.imports.header import FileFormat, read_layout
from marketd.catalog.imports.keys import handle_key, likely_key, title_handle
from marketd.catalog.imports.numbers import shown, writes_decimal_comma
from marketd.catalog.imports.parsed import RowReason, RowWarning

NO_KEY = "the row does not say which product it belongs to"
"""What is wrong with a row that has neither a key nor a problem (MISSING_VALUE of the column Layout.names[0])."""

_PRICES = ("Variant Price", "Variant Compare At Price", "Regular price", "Sale price")
# A row that ends early is whole when it reaches one of these: spreadsheets leave out blank cells at the end.
_ENOUGH = ("Variant Price", "Image Src", "Regular price")
_NUMBER = re.compile(r"-?[0-9][0-9.,]*", re.ASCII)
_CHECKS: Mapping[str, Callable[[str], object]] = {
    "Published": is_flag,
    "Variant Grams": _NUMBER.fullmatch,
    "Variant Inventory Qty": _NUMBER.fullmatch,
    "Variant Price": _NUMBER.fullmatch,
    "Variant Requires Shipping": is_flag,
    "Image Src": re.compile("(?i)https?:.*").fullmatch,
    "Gift Card": is_flag,
    "Regular price": _NUMBER.fullmatch,
    "In stock?": is_flag,
}


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row. `key` is the product that it belongs to (its handle as found), "" if it names none.

    problem: what is wrong with the row as a whole, and then it has no cells. cells: those of Layout.columns, stripped,
    and behind them what was odd about the row though it could be read, mostly "".
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
        self._names = header.cells
        self._header_row = header.number
        self._width = len(header.cells)
        used = {place for place in self._places if place is not None}
        self._unused = dict.fromkeys((place for place in range(self._width) if place not in used), 0)
        at = dict(zip(self.layout.columns, self._places, strict=True))
        self._prices = [place for name in _PRICES if (place := at.get(name)) is not None]
        self._enough = min((place for name in _ENOUGH if (place := at.get(name)) is not None), default=0)
        self._commas: set[bool] = set()
        self._checks = [(name, check, place) for name, check in _CHECKS.items() if (place := at.get(name)) is not None]
        self._key_of = _ShopifyKeys() if self.layout.format is FileFormat.SHOPIFY else Families(self.layout.columns)

    def rows(self) -> Iterator[TableRow]:
        """The rows below the header; blank ones are not given. Raises ImportFileInvalid and ReadingStopped."""
        places = self._places
        unused = self._unused
        for row in self._rows:
            self._reading.rows_read += 1
            self._reading.step()
            raw = row.cells
            width = len(raw)
            note = row.note
            problem = row.problem
            if not problem and width != self._width:
                problem, note = self._fit(raw, note)
            if problem:
                place = places[0]
                key = likely_key(raw[place]) if place is not None and place < len(raw) else ""
                yield TableRow(row.number, self._key_of.problem(key), (), problem)
                continue
            for place in unused:
                if place >= width:
                    break
                if raw[place] and not raw[place].isspace():
                    unused[place] += 1
            cells = (*["" if place is None else raw[place].strip() for place in places], note)
            self._look_at_prices(raw)
            yield TableRow(row.number, self._key_of(cells), cells)
        if len(self._commas) == 1:
            self.layout = replace(self.layout, decimal_comma=True in self._commas)

    def remarks(self) -> tuple[RowWarning, ...]:
        """What the header alone tells that a person should know; the row is the header's, so no product's."""
        layout = self.layout
        if layout.format is not FileFormat.SHOPIFY:
            return ()
        found: list[tuple[str, str]] = []
        if not layout.has("Variant Price"):
            found.append(
                ("Variant Price", "new products are drafts without a price, and those that are there keep theirs")
            )
        if layout.has("Variant Inventory Tracker") and not layout.has("Variant Inventory Qty"):
            # Shops with several places export no quantities.
            found.append(("Variant Inventory Qty", "what is tracked comes in with none in stock, until it is counted"))
        return tuple(
            RowWarning(self._header_row, column, RowReason.MISSING_VALUE, f"the file has no such column: {message}", "")
            for column, message in found
        )

    def _fit(self, cells: list[str], note: str) -> tuple[str, str]:
        """Make the cells as many as the header has; gives what is wrong when they cannot be, and what is odd."""
        width = len(cells)
        if width < self._width:
            if width <= self._enough:
                return f"the row has {width} cells and the header has {self._width}; it ends early", note
            cells.extend([""] * (self._width - width))
            return "", note
        beyond = [cell for cell in cells[self._width :] if cell.strip()]
        del cells[self._width :]
        # Blank cells at the end are mostly nothing; but a comma in a text may have moved others there.
        if self._stands_right(cells, least=3 if beyond else 1):
            return "", f"{shown(beyond[0])} stands beyond the last column and is left out" if beyond else note
        problem = f"the row has {width} cells and the header has {self._width}"
        return f"{problem}; a comma in a text needs quotes around the text", note

    def _stands_right(self, cells: list[str], *, least: int) -> bool:
        """Whether each cell stands in its column, told by those that hold numbers, flags and addresses.

        A price or a picture must be among them: without one the row says nothing of where its cells stand.
        """
        filled = {name: check(text) for name, check, place in self._checks if (text := cells[place].strip())}
        return len(filled) >= least and all(filled.values()) and not filled.keys().isdisjoint(_ENOUGH)

    def _look_at_prices(self, cells: list[str]) -> None:
        if len(self._commas) == 2:
            return
        for place in self._prices:
            if cells[place]:
                told = writes_decimal_comma(cells[place].strip())
                if told is not None:
                    self._commas.add(told)

    def unused(self) -> Mapping[str, int]:
        """The columns that hold something and are not used, in the order of the file: how many rows have it filled."""
        found: dict[str, int] = {}
        for place, count in self._unused.items():
            if count:
                name = self._names[place].strip() or f"column {place + 1}"
                found[name] = max(count, found.get(name, 0))
        return found


class _ShopifyKeys:
    """The product of each row by its Handle, or by what stands for it.

    Without a handle, a row with a title begins a product, whose handle is made of the title as shops do; one without
    either belongs to the product above.
    """

    def __init__(self) -> None:
        self._last = ""

    def problem(self, key: str) -> str:
        """The product of a row that cannot be read, as far as it is known."""
        self._last = key
        return key

    def __call__(self, cells: tuple[str, ...]) -> str:
        self._last = handle_key(cells[0]) or (title_handle(cells[1]) if cells[1] else self._last)
        return self._last


def open_table(file: BinaryIO, reading: Reading) -> Table:
    """The table in a file. Raises ImportFileInvalid for what is none, saying what it is and what to do."""
    rows = CsvFile(file).rows()
    header = next(rows, None)
    if header is None:
        raise ImportFileInvalid(1, "", "the file is empty")
    if header.problem:
        raise ImportFileInvalid(header.number, "", header.problem)
    return Table(header, rows, reading)
