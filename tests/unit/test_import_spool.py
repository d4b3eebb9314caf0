"""Rows on disk by product, pieces of a file, and what was told of it."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from marketd.catalog.imports import source
from marketd.catalog.imports.csv_file import Reading
from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.pace import Pace
from marketd.catalog.imports.parsed import RowError, RowReason
from marketd.catalog.imports.source import Piece, Source
from marketd.catalog.imports.spool import Spool
from marketd.catalog.imports.tables import TableRow
from marketd.catalog.imports.tally import Tally, Told
from marketd.catalog.imports.values import MAX_TOLD, Severity

HEADER = b"Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\n"


def pieces(rows: bytes) -> Iterator[Piece]:
    opened = Source(io.BytesIO(HEADER + rows), "EUR", Reading())
    opened.read_rows()
    try:
        while (piece := opened.next_piece()) is not None:
            yield piece
    finally:
        opened.close()


def test_a_spool_has_no_name_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool()
    for number in range(2, 5000):
        spool.add(TableRow(number, f"p{number % 7}", ("x" * 2000, "\0\x1f\ud7ff")))
    spool.whole()
    assert list(tmp_path.iterdir()) == []
    groups = [(group.handle, [number for number, _, _ in group.rows]) for group in spool.groups()]
    assert [handle for handle, _ in groups] == ["p2", "p3", "p4", "p5", "p6", "p0", "p1"]
    assert groups[0][1] == list(range(2, 5000, 7))
    assert spool.products == 7
    spool.close()


def test_products_come_in_the_order_in_which_they_begin_wherever_their_rows_stand() -> None:
    rows = b"a,A,Size,S,1,2\nb,B,,,2,2\na,,,M,2,2\n,,,L,,2\n"
    [piece] = pieces(rows)
    assert [(item.product.handle, item.product.rows) for item in piece.coming] == [("a", (2, 4, 5)), ("b", (3,))]
    # a begins first, so the SKU of its second row is its own.
    assert [variant.sku for item in piece.coming for variant in item.product.variants] == ["1", "2", "", ""]


def test_what_one_product_holds_is_bounded_in_memory_too() -> None:
    rows = b"".join(b"a,A,Size,%d,%s,2\n" % (number, b"x" * 500_000) for number in range(60))
    tracemalloc.start()
    try:
        found = list(pieces(rows + b"b,B,,,,2\n"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [item.product.handle for piece in found for item in piece.coming] == ["b"]
    assert {error.reason for piece in found for error in piece.errors} == {RowReason.TOO_LONG}
    # The file itself is in memory here, twice while it is put together.
    assert most - 2 * len(rows) < 30_000_000


def test_rows_without_a_product_and_products_of_too_many_rows_are_refused_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "MAX_PRODUCT_ROWS", 10)
    monkeypatch.setattr(source, "_PIECE_ERRORS", 4)
    rows = b"much,Much,,,,1\n" + b"much,,,,,1\n" * 11 + b"good,Good,,,,1\n" + b"no handle\n" * 6
    found = list(pieces(rows))
    assert max(len(piece.errors) for piece in found) <= 8
    assert sum(piece.rows_rejected for piece in found) == 18
    assert sum(piece.products_rejected for piece in found) == 1
    assert [item.product.handle for piece in found for item in piece.coming] == ["good"]


def test_what_comes_in_is_known_before_its_turn() -> None:
    opened = Source(io.BytesIO(HEADER + b"a,A,,,S,1\nb,B,,,S,?\nc,C,,,S,1\n"), "EUR", Reading())
    opened.read_rows()
    assert opened.coming_in(["a", "b", "c", "nobody"]) == {"a", "c"}
    piece = opened.next_piece()
    assert piece is not None
    assert [variant.sku for item in piece.coming for variant in item.product.variants] == ["S", ""]
    opened.close()


def test_what_is_told_is_bounded_and_counted_whole() -> None:
    tally, told = Tally(), Told()
    errors = [RowError(row, "Title", RowReason.MISSING_VALUE, f"row {row}", "h") for row in range(5000, 2, -1)]
    tally.refuse(errors, len(errors), 7)
    tally.refuse([RowError(2, "", RowReason.PRODUCT_REJECTED, "no", "h")] * 9000, 9000, 1)
    for error in errors:
        told.add(error)
    unused = {f"column {number}": 1 for number in range(999)}
    summary = tally.summary(FileFormat.SHOPIFY, unused, dry_run=False, brands_created=0, categories_created=0)
    told.add(summary)
    assert len(told.report().errors) == MAX_TOLD
    assert [(one.severity, one.reason, one.count, one.first_row, one.example) for one in summary.reasons] == [
        (Severity.ERROR, RowReason.MISSING_VALUE, 4998, 3, "row 3"),
        (Severity.ERROR, RowReason.PRODUCT_REJECTED, 9000, 2, "no"),
    ]
    assert (summary.rows, summary.rows_rejected, summary.products_rejected) == (13998, 13998, 8)
    assert len(summary.unused_columns) == 200


def test_time_left_follows_how_fast_it_goes_now() -> None:
    pace = Pace()
    assert pace.remaining_seconds(0.0, 0, 1000) is None
    assert pace.remaining_seconds(0.5, 100, 1000) is None
    assert pace.remaining_seconds(2.0, 200, 1000) == pytest.approx(8.0)
    # Slower by far from here on: what was long ago does not count.
    for second in range(3, 40):
        left = pace.remaining_seconds(float(second), 200 + second, 1000)
    assert left == pytest.approx(761.0, rel=0.05)
    assert pace.remaining_seconds(41.0, 1000, 1000) == 0
