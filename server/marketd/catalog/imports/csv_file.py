"""Reading the records of a CSV file that strangers made: one at a time, numbered, and going on after a broken one.

Row numbers are those of the file's records: the header is row 1, and a record over several lines is one row. A broken
record (quotes that do not close, too many cells) is reported and reading goes on with the line after its first, so a
stray quote costs one row and not the rest of the file. Pure but for the file it is given.
"""

from __future__ import annotations

import csv
import io
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from marketd.catalog.errors import ImportFileInvalid

# csv's own limit would break a record off in the middle; cells are judged by their columns' rules instead.
_CELL_LIMIT = 2**30


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
    """One record; `problem` says what is wrong with it as a whole, and then `cells` holds what could be read."""

    number: int
    cells: list[str]
    problem: str = ""


class _Lines:
    """The lines of the file, which remembers those of the record being read and takes them back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._returned: deque[str] = deque()
        self.record: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.record.append(line)
        return line

    def begin(self) -> None:
        """The next line begins a record."""
        self.record.clear()

    def take_back(self) -> None:
        """Read all lines of this record but the first again."""
        self._returned.extendleft(reversed(self.record[1:]))


def read_rows(file: BinaryIO) -> Iterator[Row]:
    """The rows of the file from its beginning, the header among them; blank lines are counted but not given.

    Raises ImportFileInvalid where the file is not UTF-8 (a byte order mark is allowed).
    """
    csv.field_size_limit(_CELL_LIMIT)
    number = 0
    lines = _Lines(_decoded(file))
    reader = csv.reader(lines, strict=True)
    while True:
        lines.begin()
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.take_back()
            reader = csv.reader(lines, strict=True)
            yield Row(number, lines.record[0].rstrip("\r\n").split(","), f"the quotes are broken ({error})")
            continue
        except UnicodeDecodeError as error:
            raise ImportFileInvalid(number, "", "the file is not UTF-8; save it as UTF-8 and try again") from error
        if any(cell and not cell.isspace() for cell in cells):
            yield Row(number, cells)


def _decoded(file: BinaryIO) -> Iterator[str]:
    """The lines of the file, decoded one by one, so that what is no UTF-8 is known by its row."""
    encoding = "utf-8-sig"
    for raw in file:
        line = raw.decode(encoding)
        encoding = "utf-8"
        if line.find("\r", 0, -2) >= 0:
            yield from io.StringIO(line, newline="")  # lines that end as on old Macs
        else:
            yield line
