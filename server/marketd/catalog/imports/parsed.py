"""What comes out of an import file: products, bad rows, and what is passed over. No tables, SQL or protobuf here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from marketd.catalog.model import ProductState
from marketd.catalog.names import Options
from marketd.inventory.model import StockPolicy


class RowReason(StrEnum):
    """What is wrong with a row, or passed over in it; the values are those of the contract without the prefix."""

    MISSING_VALUE = "MISSING_VALUE"
    INVALID_VALUE = "INVALID_VALUE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    TOO_LONG = "TOO_LONG"
    DUPLICATE_VARIANT = "DUPLICATE_VARIANT"
    DUPLICATE_SKU = "DUPLICATE_SKU"
    MALFORMED_ROW = "MALFORMED_ROW"
    PRODUCT_REJECTED = "PRODUCT_REJECTED"
    STOCK_RESERVED = "STOCK_RESERVED"
    GIFT_CARD = "GIFT_CARD"
    UNSUPPORTED_KIND = "UNSUPPORTED_KIND"
    """A product of a kind that is not sold here: a bundle, a subscription, one that another shop sells."""
    OPTION_MISMATCH = "OPTION_MISMATCH"
    """A row names another option than its product does."""
    NEGATIVE_QUANTITY = "NEGATIVE_QUANTITY"
    NOT_ABOVE_PRICE = "NOT_ABOVE_PRICE"
    """A price to cross out that tells of no saving."""
    CONTENT_DROPPED = "CONTENT_DROPPED"
    """Something that a person would miss is left out: a video of a description, a second category."""
    TEXT_CLEANED = "TEXT_CLEANED"
    """Characters that no text may hold were taken out."""


class BadCell(Exception):
    """A cell that does not fit its column. `instead` is what may be taken for it when the column is no must."""

    def __init__(self, reason: RowReason, message: str, instead: object = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.instead = instead


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that is not imported; the header is row 1. `column`: as the file names it; empty: the row as a whole."""

    row: int
    column: str
    reason: RowReason
    message: str
    handle: str


@dataclass(frozen=True, slots=True)
class RowWarning:
    """Something in a row that is passed over or changed while the rest is imported; fields as in RowError."""

    row: int
    column: str
    reason: RowReason
    message: str
    handle: str


@dataclass(frozen=True, slots=True)
class ParsedVariant:
    """One variant.

    price_minor: None, the file has none, so it cannot be bought. quantity: 0 or more; None, the file does not say.
    image_url: one of the product's pictures, or empty.
    """

    row: int
    options: Options
    sku: str
    price_minor: int | None
    compare_at_price_minor: int | None
    quantity: int | None
    policy: StockPolicy
    barcode: str
    weight_grams: int | None
    requires_shipping: bool
    image_url: str


@dataclass(frozen=True, slots=True)
class ParsedImage:
    """One picture by its address, in the order to show it; unique within its product."""

    url: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class ParsedProduct:
    """All rows of one product, none of them bad.

    handle: what it is found by again. slug_from: what its slug is made of (never empty). state: that of the file, DRAFT
    when a variant has no price. vendor and category: names, or empty. attributes: (name, value), no name twice.
    What the file has no column for is empty here; Layout.missing tells.
    """

    handle: str
    slug_from: str
    rows: tuple[int, ...]
    title: str
    description: str
    vendor: str
    category: str
    tags: tuple[str, ...]
    state: ProductState
    option_names: tuple[str, ...]
    variants: tuple[ParsedVariant, ...]
    images: tuple[ParsedImage, ...]
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What came of the rows of one product. Without `product` the errors name each of its rows, in order.

    `warnings`, in the order of the rows, are those of a product that came out; a row may have several.
    """

    product: ParsedProduct | None
    errors: tuple[RowError, ...]
    warnings: tuple[RowWarning, ...]


def rejected_rows(handle: str, rows: tuple[int, ...], errors: list[RowError]) -> list[RowError]:
    """The errors of a product and, for each of its other rows, that it goes down with them; in the order of rows."""
    bad = {error.row for error in errors}
    rest = [
        RowError(row, "", RowReason.PRODUCT_REJECTED, "another row of the product is not good", handle)
        for row in rows
        if row not in bad
    ]
    return sorted([*errors, *rest], key=lambda error: error.row)
