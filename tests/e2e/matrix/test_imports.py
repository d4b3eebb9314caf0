"""Files that are not as they should be, through both imports: a bad row is named and costs its product alone."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from marketplace.catalog.v1 import catalog_service_pb2, import_pb2

from tests.e2e.matrix.recipes_goods import HEADER, csv_file, inline_import, streamed_import
from tests.worlds.matrix import Market
from tests.worlds.observed import written
from tests.worlds.things import new_key
from tests.worlds.wire import LEAK, Outcome, check_refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

INLINE = "/marketplace.catalog.v1.CatalogService/ImportProductsInline"
STREAM = "/marketplace.catalog.v1.CatalogService/ImportProducts"
WAYS = ("inline", "stream")
INVALID = grpc.StatusCode.INVALID_ARGUMENT

Refused = tuple[grpc.StatusCode, str]


@dataclass(frozen=True)
class Imported:
    """What came of an import, however it was sent."""

    outcome: Outcome
    summary: import_pb2.ImportSummary | None
    errors: list[import_pb2.ImportRowError]
    warnings: list[import_pb2.ImportRowWarning]

    @property
    def named(self) -> list[tuple[int, str, str]]:
        """Row, column and reason of each bad row."""
        return _named(self.errors)


def _named(
    told: Sequence[import_pb2.ImportRowError | import_pb2.ImportRowWarning],
) -> list[tuple[int, str, str]]:
    return [
        (one.row, one.column, import_pb2.ImportRowReason.Name(one.reason).removeprefix("IMPORT_ROW_REASON_"))
        for one in told
    ]


async def import_file(market: Market, way: str, content: bytes) -> Imported:
    """Import for the market's shop."""
    if way == "inline":
        outcome = await market.send(INLINE, inline_import(content), by=market.shop.owner)
        if not outcome.answers:
            return Imported(outcome, None, [], [])
        answer = catalog_service_pb2.ImportProductsInlineResponse.FromString(outcome.answers[0])
        return Imported(outcome, answer.summary, list(answer.row_errors), list(answer.row_warnings))
    outcome = await market.send(STREAM, *streamed_import(content, chunk=100), by=market.shop.owner)
    events = [catalog_service_pb2.ImportProductsResponse.FromString(raw) for raw in outcome.answers]
    summaries = [event.summary for event in events if event.HasField("summary")]
    errors = [event.row_error for event in events if event.HasField("row_error")]
    warnings = [event.row_warning for event in events if event.HasField("row_warning")]
    return Imported(outcome, summaries[0] if summaries else None, sorted(errors, key=lambda error: error.row), warnings)


def row(**cells: str) -> str:
    """A good row but for the named cells; `sku` stands for `Variant SKU` and so on."""
    name = secrets.token_hex(6)
    columns = {
        "handle": f"thing-{name}",
        "title": f"Thing {name}",
        "vendor": "",
        "type": "",
        "tags": "",
        "option": "Size",
        "value": "M",
        "sku": "",
        "quantity": "5",
        "price": "12.50",
    }
    return ",".join({**columns, **cells}.values())


# The good row is row 2 and the bad one row 3.
BAD_ROWS: dict[str, tuple[str, list[tuple[int, str, str]]]] = {
    "no title": (row(title=""), [(3, "Title", "MISSING_VALUE")]),
    "price NaN": (row(price="NaN"), [(3, "Variant Price", "INVALID_VALUE")]),
    "price Infinity": (row(price="Infinity"), [(3, "Variant Price", "INVALID_VALUE")]),
    "price in science": (row(price="1e3"), [(3, "Variant Price", "INVALID_VALUE")]),
    "price in Arabic digits": (row(price="\u0661\u0662"), [(3, "Variant Price", "INVALID_VALUE")]),
    "price with a third decimal": (row(price="1.005"), [(3, "Variant Price", "INVALID_VALUE")]),
    "price below nothing": (row(price="-1"), [(3, "Variant Price", "OUT_OF_RANGE")]),
    "price of everything": (row(price="100000001"), [(3, "Variant Price", "OUT_OF_RANGE")]),
    "too few cells": ("alone", [(3, "", "MALFORMED_ROW")]),
    "too many cells": (row() + ",more", [(3, "", "MALFORMED_ROW")]),
    "quotes that do not close": (row(title='"open'), [(3, "", "MALFORMED_ROW")]),
}

# What is not sold itself costs nothing but itself.
WARNED_ROWS: dict[str, tuple[str, list[tuple[int, str, str]]]] = {
    "no handle": (row(handle=""), [(3, "Handle", "MISSING_VALUE")]),
    "no price": (row(price=""), [(3, "Variant Price", "MISSING_VALUE")]),
    "no option value": (row(value=""), [(3, "Option1 Value", "MISSING_VALUE")]),
    "quantity below nothing": (row(quantity="-1"), [(3, "Variant Inventory Qty", "NEGATIVE_QUANTITY")]),
    "quantity of halves": (row(quantity="1.5"), [(3, "Variant Inventory Qty", "INVALID_VALUE")]),
    "quantity in words": (row(quantity="many"), [(3, "Variant Inventory Qty", "INVALID_VALUE")]),
    "quantity beyond numbers": (row(quantity="999999999999999"), [(3, "Variant Inventory Qty", "OUT_OF_RANGE")]),
    "a title too long": (row(title="x" * 256), [(3, "Title", "TOO_LONG")]),
    "a NUL": (row(title="a\0b"), [(3, "Title", "TEXT_CLEANED")]),
    "price with a comma": (row(price='"12,50"'), []),
    "a handle too long": (row(handle="x" * 256), []),
    "one variant twice": (
        row(handle="twice-the-same") + "\n" + row(handle="twice-the-same", title=""),
        [(4, "", "DUPLICATE_VARIANT")],
    ),
    "one SKU twice": (
        row(handle="one-sku", sku="S1") + "\n" + row(handle="one-sku", title="", value="L", sku="S1"),
        [(4, "Variant SKU", "DUPLICATE_SKU")],
    ),
    "a formula that is only text": (row(title="=cmd|' /C calc'!A0"), []),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BAD_ROWS)
async def test_a_bad_row_is_named_and_the_others_are_imported(market: Market, name: str, way: str) -> None:
    bad, expected = BAD_ROWS[name]
    done = await import_file(market, way, csv_file(row(), bad, row()))
    assert done.outcome.code is grpc.StatusCode.OK, done.outcome
    assert done.named == expected
    assert done.summary is not None
    # A good product of the table is known when it comes the second way.
    assert done.summary.products_created + done.summary.products_unchanged == 2
    assert done.summary.rows_rejected == len(expected)
    for error in done.errors:
        assert error.message
        assert not LEAK.search(error.message)


@pytest.mark.parametrize("name", WARNED_ROWS)
async def test_what_is_passed_over_in_a_row_is_told_and_the_product_comes_in(market: Market, name: str) -> None:
    cells, expected = WARNED_ROWS[name]
    done = await import_file(market, "inline", csv_file(row(), cells, row()))
    assert done.outcome.code is grpc.StatusCode.OK, done.outcome
    assert (done.named, _named(done.warnings)) == ([], expected)
    assert done.summary is not None
    assert (done.summary.products_created, done.summary.rows_warned) == (3, len(expected))
    for warning in done.warnings:
        assert warning.message
        assert not LEAK.search(warning.message)


BAD_FILES: dict[str, bytes] = {
    "only spaces": b"  \n\n ",
    "no header of ours": b"a,b,c\n1,2,3\n",
    "no title column": HEADER.replace(",Title", "").encode() + b"\n",
    "no encoding that can be told": HEADER.encode() + b"\nthing,\x8d\x81\xfe,,,,,,,1,2.00\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "zeros": b"\0" * 1000,
    "a header with broken quotes": b'"Handle,Title,Variant Price\n',
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BAD_FILES)
async def test_what_is_no_such_file_is_refused_whole(market: Market, name: str, way: str) -> None:
    before = await market.contents()
    done = await import_file(market, way, BAD_FILES[name])
    assert (done.outcome.code, done.outcome.reason) == (INVALID, "IMPORT_ROW_INVALID"), done.outcome
    check_refusal(done.outcome, name)
    assert done.summary is None
    assert written(before, await market.contents()) == {}


async def test_more_bad_rows_than_an_answer_holds_are_counted(market: Market) -> None:
    done = await import_file(market, "inline", csv_file(row(), *["alone"] * 30_000))
    assert done.outcome.code is grpc.StatusCode.OK
    assert done.summary is not None
    assert (done.summary.rows, done.summary.rows_rejected, done.summary.products_created) == (30_001, 30_000, 1)
    assert len(done.errors) == 1_000


def _first(content: bytes, **options: Any) -> catalog_service_pb2.ImportProductsRequest:
    return streamed_import(content, **options)[0]


def _streams() -> dict[str, tuple[list[catalog_service_pb2.ImportProductsRequest], Refused]]:
    """Uploads that go wrong, and how they are refused."""
    file = csv_file()
    first, *chunks = streamed_import(file, chunk=64)
    corrupt, out_of_order = (INVALID, "MEDIA_CORRUPT"), (INVALID, "MALFORMED_REQUEST")
    invalid = (INVALID, "VALIDATION_FAILED")
    return {
        "nothing at all": ([], out_of_order),
        "a chunk first": (chunks, out_of_order),
        "the options twice": ([first, first, *chunks], out_of_order),
        "the options last": ([*chunks, first], out_of_order),
        "no payload": ([catalog_service_pb2.ImportProductsRequest(request_id=new_key())], invalid),
        "only the options": ([first], corrupt),
        "a chunk less": ([first, *chunks[:-1]], corrupt),
        "a chunk more": ([first, *chunks, chunks[0]], corrupt),
        "chunks in another order": ([first, *reversed(chunks)], corrupt),
        "another hash": ([_first(file, sha256=hashlib.sha256(b"").hexdigest()), *chunks], corrupt),
        "no hash": ([_first(file, sha256=""), *chunks], invalid),
        "a hash that is none": ([_first(file, sha256="x" * 64), *chunks], invalid),
        "a size below nothing": ([_first(file, size=-1), *chunks], invalid),
        "a size beyond the limit": ([_first(file, size=268_435_457), *chunks], invalid),
        "a chunk too large": (
            [first, catalog_service_pb2.ImportProductsRequest(chunk=b"x" * 65_537)],
            invalid,
        ),
    }


@pytest.mark.parametrize("name", _streams())
async def test_an_upload_that_is_not_as_announced_changes_nothing(market: Market, name: str) -> None:
    messages, refused = _streams()[name]
    before = await market.contents()
    outcome = await market.send(STREAM, *messages, by=market.shop.owner)
    assert (outcome.code, outcome.reason) == refused, outcome
    check_refusal(outcome, name)
    assert written(before, await market.contents()) == {}


@pytest.mark.parametrize("name", ["size", "sha256", "empty", "too large"])
async def test_an_inline_file_that_is_not_as_announced_changes_nothing(market: Market, name: str) -> None:
    content = csv_file()
    request, reason = {
        "size": (inline_import(content, size=len(content) + 1), "MEDIA_CORRUPT"),
        "sha256": (inline_import(content, sha256="0" * 64), "MEDIA_CORRUPT"),
        "empty": (inline_import(b""), "VALIDATION_FAILED"),
        "too large": (inline_import(b"x" * 3_145_729), "VALIDATION_FAILED"),
    }[name]
    before = await market.contents()
    outcome = await market.send(INLINE, request, by=market.shop.owner)
    assert (outcome.code, outcome.reason) == (INVALID, reason), outcome
    check_refusal(outcome)
    assert written(before, await market.contents()) == {}
