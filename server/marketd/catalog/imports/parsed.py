"""What comes out of an import file, as plain values: products ready to be planned, and rows that are not. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from marketd.catalog.names import Options


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
class ParsedVariant:
    """One variant; `quantity` None: the file does not say. `image_url` is one of the product's pictures, or empty."""

    row: int
    options: Options
    sku: str
    price_minor: int
    compare_at_price_minor: int | None
    quantity: int | None
    barcode: str
    weight_grams: int
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
    """A whole file. `errors` in the order of the rows; a product with a bad row is rejected with all its rows."""

    products: tuple[ParsedProduct, ...]
    errors: tuple[RowError, ...]
    rows: int
    products_rejected: int


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


def rejected_rows(handle: str, rows: tuple[int, ...], errors: list[RowError]) -> list[RowError]:
    """The errors of a product and, for each of its other rows, that it goes down with them; in the order of rows."""
    bad = {error.row for error in errors}
    rest = [
        RowError(row, "", RowReason.PRODUCT_REJECTED, "another row of the product is not good", handle)
        for row in rows
        if row not in bad
    ]
    return sorted([*errors, *rest], key=lambda error: error.row)
