"""The rows of an import file on disk, by product: the rows of one product may stand anywhere in a file of any size, and
no file may cost more memory than another.

A temporary SQLite file, whose name is taken away as soon as it is open: it is gone with the process, however that ends.
Everything here is called by one thread (see FileThread).
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from marketd.catalog.imports.tables import TableRow

_AT_ONCE = 500
_TEXT_AT_ONCE = 1 << 20
_CACHE_KIB = 8192
_SCHEMA = f"""
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -{_CACHE_KIB};
BEGIN;
CREATE TABLE products (product INTEGER PRIMARY KEY, handle TEXT NOT NULL UNIQUE, comes_in INTEGER, gave INTEGER);
CREATE TABLE rows (number INTEGER PRIMARY KEY, product INTEGER NOT NULL, problem TEXT NOT NULL, cells TEXT NOT NULL);
CREATE TABLE skus (sku TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE made (kind TEXT, name TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID;
"""

Stored = tuple[int, int, str, str]


@dataclass(slots=True)
class Group:
    """The rows of one product (of none: `handle` is empty), to be read before the next group is asked for."""

    handle: str
    rows: Iterator[tuple[int, str, tuple[str, ...]]]
    """Number, problem, cells."""


class Spool:
    """The rows of a file; also who has which SKU of it, and what else must be remembered for each product."""

    def __init__(self) -> None:
        handle, path = tempfile.mkstemp(prefix="import-", suffix=".sqlite")
        os.close(handle)
        try:
            # No statement is ever taken back, so there is one transaction, and SQLite keeps no journal of it.
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.executescript(_SCHEMA)
        finally:
            Path(path).unlink()
        self._last: tuple[str, int] | None = None
        self._waiting: list[Stored] = []
        self._waiting_text = 0
        self.products = 0
        """How many products there are."""

    def close(self) -> None:
        """Give the disk back."""
        self._db.close()

    def add(self, row: TableRow) -> None:
        """Keep a row."""
        if self._last is None or self._last[0] != row.key:
            self._last = (row.key, self._product(row.key))
        cells = json.dumps(row.cells, ensure_ascii=False, separators=(",", ":"))
        self._waiting.append((row.number, self._last[1], row.problem, cells))
        self._waiting_text += len(cells)
        if len(self._waiting) >= _AT_ONCE or self._waiting_text >= _TEXT_AT_ONCE:
            self._write()

    def whole(self) -> None:
        """All rows are there: from now on they can be read by product."""
        self._write()
        self._db.execute("CREATE INDEX rows_of_product ON rows (product)")

    def _write(self) -> None:
        self._db.executemany("INSERT INTO rows (number, product, problem, cells) VALUES (?, ?, ?, ?)", self._waiting)
        self._waiting.clear()
        self._waiting_text = 0

    def _product(self, handle: str) -> int:
        found = self._db.execute("SELECT product FROM products WHERE handle = ?", (handle,)).fetchone()
        if found is not None:
            return int(found[0])
        self.products += bool(handle)
        made = self._db.execute("INSERT INTO products (handle) VALUES (?)", (handle,))
        return int(made.lastrowid or 0)

    def groups(self) -> Iterator[Group]:
        """The products in the order in which they begin in the file."""
        for product, handle in self._db.execute("SELECT product, handle FROM products ORDER BY product"):
            yield Group(handle, self._rows(product))

    def group(self, handle: str) -> Group | None:
        """One product; None when the file has none of this handle."""
        found = self._db.execute("SELECT product FROM products WHERE handle = ?", (handle,)).fetchone()
        return None if found is None else Group(handle, self._rows(found[0]))

    def _rows(self, product: int) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        found = self._db.execute(
            "SELECT number, problem, cells FROM rows WHERE product = ? ORDER BY number", (product,)
        )
        for number, problem, cells in found:
            yield number, problem, tuple(json.loads(cells))

    def claim(self, sku_key: str, handle: str, row: int) -> int | None:
        """See Claims."""
        found = self._db.execute("SELECT number FROM skus WHERE sku = ?", (sku_key,)).fetchone()
        if found is not None:
            return None if found[0] == row else int(found[0])
        self._db.execute("INSERT INTO skus (sku, number) VALUES (?, ?)", (sku_key, row))
        return None

    def comes_in(self, handle: str) -> bool | None:
        """Whether the product is good; None as long as nobody has said so."""
        found = self._db.execute("SELECT comes_in FROM products WHERE handle = ?", (handle,)).fetchone()
        return None if found is None or found[0] is None else bool(found[0])

    def note_comes_in(self, handle: str, *, comes_in: bool) -> None:
        """Remember whether the product is good."""
        self._db.execute("UPDATE products SET comes_in = ? WHERE handle = ?", (comes_in, handle))

    def note_gave(self, handles: Iterable[str]) -> None:
        """Remember that these products have lost a SKU to others."""
        self._db.executemany("UPDATE products SET gave = 1 WHERE handle = ?", [(handle,) for handle in handles])

    def gave(self, handles: Sequence[str]) -> frozenset[str]:
        """Which of these products have lost a SKU to others."""
        return frozenset(
            handle
            for handle in handles
            if self._db.execute("SELECT 1 FROM products WHERE handle = ? AND gave = 1", (handle,)).fetchone()
        )

    def note_made(self, kind: str, names: Iterable[str]) -> None:
        """Remember brands or categories that were made; one that was noted already is the same."""
        self._db.executemany("INSERT OR IGNORE INTO made (kind, name) VALUES (?, ?)", [(kind, name) for name in names])

    def made(self, kind: str) -> int:
        """How many were made."""
        return int(self._db.execute("SELECT count(*) FROM made WHERE kind = ?", (kind,)).fetchone()[0])
