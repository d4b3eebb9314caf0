"""The values of imports: how to import, what comes out of a file (products, and rows that are none), how far an import
is and what came of it. No tables, SQL or protobuf here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from marketd.catalog.names import Options


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import. `seller_id` None: the caller's own; the flags are those of the contract."""

    seller_id: UUID | None = None
    dry_run: bool = False
    publish: bool = False
    update_existing: bool = False
    stop_on_error: bool = False


class RowReason(StrEnum):
    """What is wrong with a row; the values are those of the contract without the prefix."""

    MISSING_VALUE = "MISSING_VALUE"
    INVALID_VALUE = "INVALID_VALUE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    TOO_LONG = "TOO_LONG"
    DUPLICATE_VARIANT = "DUPLICATE_VARIANT"
    DUPLICATE_SKU = "DUPLICATE_SKU"
    MALFORMED_ROW = "MALFORMED_ROW"
    PRODUCT_REJECTED = "PRODUCT_REJECTED"
    STOCK_RESERVED = "STOCK_RESERVED"


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that is not imported; the header is row 1. `column` is empty when the row as a whole is meant."""

    row: int
    column: str
    reason: RowReason
    message: str
    handle: str


@dataclass(frozen=True, slots=True)
class RowWarning:
    """Something in a row that is passed over while the rest is imported."""

    row: int
    column: str
    message: str
    handle: str


@dataclass(frozen=True, slots=True)
class ParsedVariant:
    """One variant; `quantity` None: the file does not say. `image_url` is one of the product's pictures, or empty."""

    row: int
    options: Options
    sku: str
    price_minor: int
    compare_at_price_minor: int | None
    quantity: int | None
    barcode: str
    weight_grams: int | None
    image_url: str


@dataclass(frozen=True, slots=True)
class ParsedImage:
    """One picture by its address, in the order to show it; unique within its product."""

    url: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class ParsedProduct:
    """All rows of one Handle, none of them bad. `is_published`: the file does not mark it as unpublished."""

    handle: str
    rows: tuple[int, ...]
    title: str
    description: str
    vendor: str
    category: str
    tags: tuple[str, ...]
    is_published: bool
    option_names: tuple[str, ...]
    variants: tuple[ParsedVariant, ...]
    images: tuple[ParsedImage, ...]


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A whole file. `errors` in the order of the rows; a product with a bad row is rejected with all its rows.

    `warnings`, in the order of the rows, are about products that are not rejected.
    """

    products: tuple[ParsedProduct, ...]
    errors: tuple[RowError, ...]
    rows: int
    products_rejected: int
    warnings: tuple[RowWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is; totals are 0 until they are known."""

    rows_read: int
    rows_total: int
    products_done: int
    products_total: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What came of an import."""

    products_created: int
    products_updated: int
    products_unchanged: int
    products_rejected: int
    variants: int
    images: int
    rows: int
    rows_rejected: int
    categories_created: int
    brands_created: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ImportReport:
    """A summary, the rows that were not imported and what was passed over in others, in the order of the file."""

    summary: ImportSummary
    errors: tuple[RowError, ...]
    warnings: tuple[RowWarning, ...]


ImportEvent: TypeAlias = ImportProgress | RowError | RowWarning | ImportSummary


def rejected_rows(handle: str, rows: tuple[int, ...], errors: list[RowError]) -> list[RowError]:
    """The errors of a product and, for each of its other rows, that it goes down with them; in the order of rows."""
    bad = {error.row for error in errors}
    rest = [
        RowError(row, "", RowReason.PRODUCT_REJECTED, "another row of the product is not good", handle)
        for row in rows
        if row not in bad
    ]
    return sorted([*errors, *rest], key=lambda error: error.row)
