"""Reading the records of a CSV file that strangers made: one at a time, numbered, and going on after a broken one.

Row numbers are those of the file's records: the header is row 1, and a record over several lines is one row. A broken
record (quotes that do not close) is reported and reading goes on with the line after its first, so a stray quote costs
one row and not the rest of the file. Pure but for the file it is given.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports.encodings import encoding_of

# csv's own limit would break a record off in the middle; cells are judged by their columns' rules instead.
_CELL_LIMIT = 2**30
_PIECE = 1 << 16
_MAX_RECORD = 1 << 23
_MAX_LINE = 1 << 24
# What is read again behind quotes that do not close: enough for any file that a person can mend.
_MAX_LINES_AGAIN = 1_000_000
_MAX_TEXT_AGAIN = 1 << 28
_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_UNDECODED = re.compile("[\udc80-\udcff]")


class ReadingStopped(Exception):
    """Nobody waits for the file any more."""


@dataclass(slots=True)
class Reading:
    """How far the reading is. The thread that reads counts, the event loop looks, and may ask it to stop."""

    rows_read: int = 0
    is_stopped: bool = False
    steps: int = 0

    def step(self) -> None:
        """A row is read, or a product made of some. Raises ReadingStopped when the reader was asked to stop."""
        self.steps += 1
        if self.is_stopped:
            raise ReadingStopped
        if self.steps % 50 == 0:
            # Hands the interpreter to the event loop, which would else wait 5 ms for each of its turns.
            time.sleep(0)


@dataclass(frozen=True, slots=True)
class Row:
    """One record; `problem` says what is wrong with it as a whole, and then `cells` holds what could be read.

    note: what was odd about it though it could be read.
    """

    number: int
    cells: list[str]
    problem: str = ""
    note: str = ""


class _Lines:
    """The lines of the file, which remembers those of the record being read and takes them back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._returned: deque[str] = deque()
        self.record: list[str] = []
        self._room = _MAX_RECORD
        self._lines_again = self._text_again = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.record.append(line)
        self._room -= len(line)
        if self._room < 0 and len(self.record) > 1:
            # A quote that never closes would take the whole file into memory.
            raise csv.Error("they do not close")
        return line

    def begin(self) -> None:
        """The next line begins a record."""
        self.record.clear()
        self._room = _MAX_RECORD

    def take_back(self, *, all_lines: bool = False) -> None:
        """Read the lines of this record again: all but the first, or all."""
        self._returned.extendleft(reversed(self.record if all_lines else self.record[1:]))
        self._lines_again += len(self.record)
        self._text_again += _MAX_RECORD - self._room

    @property
    def is_worn(self) -> bool:
        """Whether so much was read again that the time for it would grow with the square of the file's length."""
        return self._lines_again > _MAX_LINES_AGAIN or self._text_again > _MAX_TEXT_AGAIN


class CsvFile:
    """The records of a file from its beginning, the header among them.

    delimiter: what stands between cells, found out by the header.
    """

    def __init__(self, file: BinaryIO) -> None:
        csv.field_size_limit(_CELL_LIMIT)
        encoding = encoding_of(file)
        self._strict = encoding != "utf-8"
        self._lines = _Lines(_decoded(file, encoding))
        self._skipped = 0
        self.delimiter = self._find_delimiter()

    def _find_delimiter(self) -> str:
        """What cuts the first record that has cells into most of them."""
        while True:
            self._lines.begin()
            line = next(self._lines, None)
            if line is None:
                return ","
            named = _SEPARATOR_LINE.fullmatch(line)
            if named is not None:
                self._skipped += 1
                return named.group(1)
            if line.strip().strip('",;\t|'):
                break
            self._skipped += 1
        cuts = {delimiter: _cut(line, delimiter) for delimiter in _DELIMITERS}
        self._lines.take_back(all_lines=True)
        return max(_DELIMITERS, key=lambda delimiter: cuts[delimiter])

    def rows(self) -> Iterator[Row]:
        """The records; blank ones are counted but not given. Raises ImportFileInvalid where the text is not known."""
        number = self._skipped
        width = 0
        lines = self._lines
        reader = csv.reader(lines, strict=True, delimiter=self.delimiter)
        while True:
            lines.begin()
            number += 1
            note = ""
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reader = csv.reader(lines, strict=True, delimiter=self.delimiter)
                loose = self._read_loosely(width)
                if loose is None:
                    lines.take_back()
                    if lines.is_worn:
                        problem = "the quotes of this row and of many before it do not close; save the file again"
                        raise ImportFileInvalid(number, "", problem) from None
                    self._check(lines.record[:1], number)
                    first = lines.record[0].rstrip("\r\n").split(self.delimiter)
                    problem = f"the quotes are broken ({error}); a quote inside a text is written twice"
                    yield Row(number, first, problem)
                    continue
                cells, note = loose, "a quote inside a text is not written twice, and is left out"
            self._check(lines.record, number)
            if any(cell and not cell.isspace() for cell in cells):
                width = width or len(cells)
                yield Row(number, cells, note=note)

    def _read_loosely(self, width: int) -> list[str] | None:
        """The cells of the record that has just failed, where they are as many as the header has; else None.

        Quotes that stand inside a cell lose their sense then; quotes that do not close would swallow the file.
        """
        record = list(self._lines.record)
        reader = csv.reader(record, delimiter=self.delimiter)
        cells = next(reader, [])
        # Of a quote that is still open the last cell keeps the line's end.
        whole = len(cells) == width and reader.line_num == len(record) and not cells[-1].endswith(("\n", "\r"))
        return cells if whole else None

    def _check(self, lines: list[str], number: int) -> None:
        if not self._strict and any(_UNDECODED.search(line) for line in lines):
            raise ImportFileInvalid(
                number, "", "the file is not UTF-8, and which other encoding it has cannot be told; save it as UTF-8"
            )


def _cut(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter)))
    except (csv.Error, StopIteration):
        return 0


def _decoded(file: BinaryIO, encoding: str) -> Iterator[str]:
    """The lines of the file with their ends (any of \\n, \\r\\n, \\r), decoded piece by piece."""
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=False)
    parts: list[str] = []
    length = number = 0
    while True:
        piece = file.read(_PIECE)
        for line in io.StringIO(decoder.decode(piece, final=not piece), newline=""):
            parts.append(line)
            length += len(line)
            if length > _MAX_LINE:
                raise ImportFileInvalid(number + 1, "", f"a line has more than {_MAX_LINE} characters")
            if line.endswith(("\n", "\r")):
                yield "".join(parts)
                parts.clear()
                number += 1
                length = 0
        if not piece:
            break
    if parts:
        yield "".join(parts)
