"""An import file being read: first all its rows, into the spool, then its products one after another.

`Source` is plain code for one thread; `FileThread` is that thread, as the event loop asks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, Self, TypeVar

from marketd.catalog.imports.csv_file import Reading
from marketd.catalog.imports.header import Layout
from marketd.catalog.imports.parsed import Parsed, ParsedProduct, RowError, RowReason, RowWarning
from marketd.catalog.imports.products import parse_product
from marketd.catalog.imports.skus import Claims, ClaimsInMemory
from marketd.catalog.imports.spool import Group, Spool
from marketd.catalog.imports.tables import NO_KEY, Table, open_table

PIECE_PRODUCTS = 50
PIECE_VARIANTS = 500
MAX_PRODUCT_ROWS = 4000
MAX_PRODUCT_TEXT = 1 << 24
"""Characters of all cells of a product, which is in memory as a whole."""
_PIECE_ERRORS = 500

T = TypeVar("T")

Line = tuple[int, str, tuple[str, ...]]
"""Number, problem, cells."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A product that comes in, and what was passed over in it."""

    product: ParsedProduct
    warnings: tuple[RowWarning, ...]


@dataclass(slots=True)
class Piece:
    """The next of what is in a file: products, and rows that do not come in."""

    coming: list[Coming] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    rows_rejected: int = 0
    products_rejected: int = 0
    variants: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it is enough for one transaction, and one callback of the event loop."""
        return (
            len(self.coming) >= PIECE_PRODUCTS or self.variants >= PIECE_VARIANTS or len(self.errors) >= _PIECE_ERRORS
        )


class Source:
    """The products of a file. Open it, read the rows, then take pieces until none is left."""

    def __init__(self, file: BinaryIO, currency: str, reading: Reading) -> None:
        self._currency = currency
        self._reading = reading
        self._file = file
        self._table: Table | None = None
        self._spool: Spool | None = None
        self._pieces: Iterator[Piece] | None = None

    def read_rows(self) -> None:
        """Read all rows. Raises ImportFileInvalid for what is no such file, and ReadingStopped."""
        self._table = open_table(self._file, self._reading)
        self._spool = Spool()
        for row in self._table.rows():
            self._spool.add(row)
        self._spool.whole()

    def close(self) -> None:
        """Give up what is on disk."""
        if self._spool is not None:
            self._spool.close()

    @property
    def layout(self) -> Layout:
        """What the header says."""
        assert self._table is not None  # noqa: S101 - read_rows comes first
        return self._table.layout

    @property
    def unused(self) -> Mapping[str, int]:
        """See Table.unused."""
        assert self._table is not None  # noqa: S101 - read_rows comes first
        return self._table.unused()

    @property
    def remarks(self) -> tuple[RowWarning, ...]:
        """See Table.remarks."""
        assert self._table is not None  # noqa: S101 - read_rows comes first
        return self._table.remarks()

    @property
    def spool(self) -> Spool:
        """The rows."""
        assert self._spool is not None  # noqa: S101 - read_rows comes first
        return self._spool

    def rewind(self) -> None:
        """The next piece is the first again."""
        self._pieces = None

    def next_piece(self) -> Piece | None:
        """The next piece; None behind the last. Raises ReadingStopped."""
        if self._pieces is None:
            self._pieces = self._read_pieces()
        return next(self._pieces, None)

    def _read_pieces(self) -> Iterator[Piece]:
        piece = Piece()
        for group in self.spool.groups():
            for part in self._parts(group):
                if piece.coming and piece.variants + part.variants > PIECE_VARIANTS:
                    yield piece
                    piece = Piece()
                _join(piece, part)
                if piece.is_full:
                    yield piece
                    piece = Piece()
        if piece.coming or piece.errors:
            yield piece

    def _parts(self, group: Group) -> Iterator[Piece]:
        """One product, or of what cannot be one so many rows at a time that they fit into memory."""
        self._reading.step()
        if not group.handle:
            yield from self._refused(group, self._without_product)
            return
        first, beyond = _fitting(group.rows)
        if beyond is not None:
            self.spool.note_comes_in(group.handle, comes_in=False)
            rest = Group(group.handle, _chained(first, beyond, group.rows))
            yield from self._refused(rest, lambda number, _: _too_many(number, group.handle), products=1)
            return
        parsed = self._parse(group.handle, first, self.spool)
        if parsed.product is None:
            self.spool.note_comes_in(group.handle, comes_in=False)
            yield Piece(errors=list(parsed.errors), rows_rejected=len(first), products_rejected=1)
        else:
            yield Piece([Coming(parsed.product, parsed.warnings)], variants=len(parsed.product.variants))

    def _parse(self, handle: str, rows: list[Line], claims: Claims) -> Parsed:
        return parse_product(
            self.layout,
            handle,
            [(number, cells) for number, problem, cells in rows if not problem],
            [(number, problem) for number, problem, _ in rows if problem],
            self._currency,
            claims,
        )

    def _without_product(self, number: int, problem: str) -> RowError:
        if problem:
            return RowError(number, "", RowReason.MALFORMED_ROW, problem, "")
        return RowError(number, self.layout.names[0], RowReason.MISSING_VALUE, NO_KEY, "")

    def _refused(self, group: Group, say: Callable[[int, str], RowError], products: int = 0) -> Iterator[Piece]:
        part = Piece(products_rejected=products)
        for number, problem, _ in group.rows:
            self._reading.step()
            part.errors.append(say(number, problem))
            part.rows_rejected += 1
            if len(part.errors) >= _PIECE_ERRORS:
                yield part
                part = Piece()
        if part.errors:
            yield part

    def coming_in(self, handles: list[str]) -> frozenset[str]:
        """Which of these are products of the file that are not refused."""
        return frozenset(handle for handle in handles if self._comes_in(handle))

    def _comes_in(self, handle: str) -> bool:
        known = self.spool.comes_in(handle)
        if known is not None:
            return known
        group = self.spool.group(handle)
        if group is None:
            return False
        rows, beyond = _fitting(group.rows)
        # SKUs do not decide this, so who has which is not touched out of turn.
        comes_in = beyond is None and self._parse(handle, rows, ClaimsInMemory()).product is not None
        self.spool.note_comes_in(handle, comes_in=comes_in)
        return comes_in


def _join(piece: Piece, part: Piece) -> None:
    piece.coming += part.coming
    piece.errors += part.errors
    piece.rows_rejected += part.rows_rejected
    piece.products_rejected += part.products_rejected
    piece.variants += part.variants


def _fitting(rows: Iterator[Line]) -> tuple[list[Line], Line | None]:
    """The rows of a product, and the first that is too many or too much."""
    fitting: list[Line] = []
    room = MAX_PRODUCT_TEXT
    for row in rows:
        room -= sum(map(len, row[2]))
        if room < 0 or len(fitting) == MAX_PRODUCT_ROWS:
            return fitting, row
        fitting.append(row)
    return fitting, None


def _too_many(number: int, handle: str) -> RowError:
    message = f"the product has more than {MAX_PRODUCT_ROWS} rows or {MAX_PRODUCT_TEXT:,} characters"
    return RowError(number, "", RowReason.TOO_LONG, message, handle)


def _chained(
    first: list[Line],
    beyond: Line,
    rest: Iterator[Line],
) -> Iterator[Line]:
    yield from first
    yield beyond
    yield from rest


class FileThread:
    """The one thread that touches a file and its spool; what is asked of it is done in the order of asking."""

    def __init__(self, source: Source, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="import")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What runs ends with its next row, and only then the spool is closed: nobody waits for either.
        self._reading.is_stopped = True
        self._pool.submit(self._source.close)
        self._pool.shutdown(wait=False)

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have it done."""
        return asyncio.get_running_loop().run_in_executor(self._pool, work)
