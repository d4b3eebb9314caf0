"""Files of products as bytes, and what comes of a whole one; no database."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marketd.catalog.imports.csv_file import Reading
from marketd.catalog.imports.header import Layout
from marketd.catalog.imports.parsed import ParsedProduct, ParsedVariant, RowError, RowReason, RowWarning
from marketd.catalog.imports.products import parse_product
from marketd.catalog.imports.skus import ClaimsInMemory
from marketd.catalog.imports.tables import open_table

COLUMNS = (
    "Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Option1 Name", "Option1 Value",
    "Option2 Name", "Option2 Value", "Variant SKU", "Variant Grams", "Variant Inventory Tracker",
    "Variant Inventory Qty", "Variant Inventory Policy", "Variant Price", "Variant Compare At Price",
    "Variant Requires Shipping", "Variant Barcode", "Image Src", "Image Position", "Image Alt Text", "Gift Card",
    "Variant Image", "Status",
)  # fmt: skip


@dataclass(frozen=True)
class Read:
    """What came of a file."""

    layout: Layout
    products: Sequence[ParsedProduct]
    errors: Sequence[RowError]
    warnings: Sequence[RowWarning]
    unused: Mapping[str, int]
    rows: int

    @property
    def product(self) -> ParsedProduct:
        """The only one."""
        [product] = self.products
        return product

    @property
    def variant(self) -> ParsedVariant:
        """The only one of the only product."""
        [variant] = self.product.variants
        return variant

    @property
    def refused(self) -> list[tuple[int, str, RowReason]]:
        """Where and why rows were refused."""
        return [(error.row, error.column, error.reason) for error in self.errors]

    @property
    def told(self) -> list[tuple[int, str, RowReason]]:
        """Where and about what somebody is warned."""
        return [(warning.row, warning.column, warning.reason) for warning in self.warnings]


def read(data: bytes, currency: str = "EUR") -> Read:
    """Read a whole file."""
    reading = Reading()
    table = open_table(io.BytesIO(data), reading)
    groups: dict[str, tuple[list[tuple[int, tuple[str, ...]]], list[tuple[int, str]]]] = {}
    errors: list[RowError] = []
    for row in table.rows():
        if not row.key:
            errors.append(RowError(row.number, "", RowReason.MALFORMED_ROW, row.problem, ""))
        elif row.problem:
            groups.setdefault(row.key, ([], []))[1].append((row.number, row.problem))
        else:
            groups.setdefault(row.key, ([], []))[0].append((row.number, row.cells))
    claims = ClaimsInMemory()
    all_parsed = [parse_product(table.layout, key, good, bad, currency, claims) for key, (good, bad) in groups.items()]
    return Read(
        layout=table.layout,
        products=[parsed.product for parsed in all_parsed if parsed.product is not None],
        errors=sorted([*errors, *(one for parsed in all_parsed for one in parsed.errors)], key=lambda one: one.row),
        warnings=sorted((one for parsed in all_parsed for one in parsed.warnings), key=lambda one: one.row),
        unused=table.unused(),
        rows=reading.rows_read,
    )


def table_of(columns: Sequence[str], *rows: Mapping[str, str], delimiter: str = ",") -> str:
    """A file with these columns and cells."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def shopify(*rows: Mapping[str, str]) -> bytes:
    """A Shopify file with these cells."""
    return table_of(COLUMNS, *rows).encode()


_SHORT = {re.sub(r"[^a-z0-9]", "", name.lower().removeprefix("variant ")): name for name in COLUMNS}
_SHORT["variantimage"] = "Variant Image"


def row(handle: str = "cup", **cells: str) -> dict[str, str]:
    """A row; columns by their names in small letters, without blanks and without "variant"."""
    return {"Handle": handle} | {_SHORT[name]: value for name, value in cells.items()}


def product(handle: str = "cup", **cells: str) -> dict[str, str]:
    """The first row of a product; without options unless it is given some."""
    given = {"title": handle.title(), "price": "4.50"} | cells
    if "option1name" not in cells:
        given |= {"option1name": "Title", "option1value": "Default Title"}
    return row(handle, **given)


def size(value: str, handle: str = "cup", **cells: str) -> dict[str, str]:
    """The first row of a product that comes in sizes."""
    return product(handle, option1name="Size", option1value=value, **cells)
