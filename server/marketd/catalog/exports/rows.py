"""A product as rows of Shopify's product CSV, as Shopify writes them. Pure.

What a product is stands in its first row alone; row k has the k-th variant and the k-th picture. Text is written as it
is: a cell that begins with =, +, - or @ may be a formula to a spreadsheet, but whatever were put before it would be
read as part of it by every shop that the file is brought to, this one included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from marketd.catalog.exports.values import ExportedImage, ExportedProduct, ExportedVariant
from marketd.catalog.imports.header import SHOPIFY_COLUMNS
from marketd.catalog.model import ProductState
from marketd.inventory.model import StockPolicy
from marketd.kernel.values.money import minor_digits

COLUMNS: Final = tuple(SHOPIFY_COLUMNS)
"""The columns of the file: those that imports read."""
MOST_OPTIONS: Final = 3

_PLACES = {name: place for place, name in enumerate(COLUMNS)}
_STATES = {
    ProductState.PUBLISHED: ("true", "active"),
    ProductState.DRAFT: ("false", "draft"),
    ProductState.ARCHIVED: ("false", "archived"),
}
_STOCKS = {
    StockPolicy.TRACKED: ("shopify", "deny"),
    StockPolicy.CONTINUE: ("shopify", "continue"),
    StockPolicy.UNTRACKED: ("", "deny"),
}
_TO_QUOTE = re.compile(r'[",\r\n]')

Row = list[str]


def fits(product: ExportedProduct) -> bool:
    """Whether the file has columns enough for it."""
    return len(product.option_names) <= MOST_OPTIONS


def rows_of(product: ExportedProduct) -> Iterator[Row]:
    """The product's rows; at least one. It `fits`."""
    pictures: dict[UUID, str] = {}
    for image in product.images:
        for variant_id in image.variant_ids:
            pictures.setdefault(variant_id, image.url)
    for place in range(max(1, len(product.variants), len(product.images))):
        row = [""] * len(COLUMNS)
        row[_PLACES["Handle"]] = product.handle
        if place == 0:
            _write_product(row, product)
        if place < len(product.variants):
            variant = product.variants[place]
            _write_variant(row, product, variant, pictures.get(variant.variant_id, ""))
        if place < len(product.images):
            _write_image(row, product.images[place], place + 1)
        yield row


def line(row: Row) -> str:
    """The row as a line of the file, its end included."""
    if any(map(_TO_QUOTE.search, row)):
        row = ['"' + cell.replace('"', '""') + '"' if _TO_QUOTE.search(cell) else cell for cell in row]
    return ",".join(row) + "\n"


def _write_product(row: Row, product: ExportedProduct) -> None:
    published, status = _STATES[product.state]
    for column, cell in (
        ("Title", product.title),
        ("Body (HTML)", product.description),
        ("Vendor", product.vendor),
        ("Type", product.category),
        ("Tags", ", ".join(product.tags)),
        ("Published", published),
        ("Gift Card", "false"),
        ("Status", status),
    ):
        row[_PLACES[column]] = cell
    for place, name in enumerate(product.option_names, 1):
        row[_PLACES[f"Option{place} Name"]] = name
    if not product.option_names and product.variants:
        row[_PLACES["Option1 Name"]] = "Title"


def _write_variant(row: Row, product: ExportedProduct, variant: ExportedVariant, image_url: str) -> None:
    chosen = dict(variant.options)
    for place, name in enumerate(product.option_names, 1):
        row[_PLACES[f"Option{place} Value"]] = chosen.get(name, "")
    if not product.option_names:
        row[_PLACES["Option1 Value"]] = "Default Title"
    tracker, policy = _STOCKS[variant.stock.policy]
    for column, cell in (
        ("Variant SKU", _number_kept(variant.sku)),
        ("Variant Barcode", _number_kept(variant.barcode)),
        ("Variant Price", _amount(variant.price_minor, product.currency)),
        ("Variant Compare At Price", _amount(variant.compare_at_price_minor, product.currency)),
        ("Variant Inventory Tracker", tracker),
        ("Variant Inventory Qty", str(variant.stock.on_hand)),
        ("Variant Inventory Policy", policy),
        # 0 is what Shopify writes for a weight that is not known.
        ("Variant Grams", str(variant.weight_grams or 0)),
        ("Variant Requires Shipping", "true" if variant.requires_shipping else "false"),
        ("Variant Image", image_url),
    ):
        row[_PLACES[column]] = cell


def _write_image(row: Row, image: ExportedImage, position: int) -> None:
    row[_PLACES["Image Src"]] = image.url
    row[_PLACES["Image Position"]] = str(position)
    row[_PLACES["Image Alt Text"]] = image.alt_text


def _number_kept(code: str) -> str:
    """The code; one more apostrophe before those and a digit, of which imports take one away."""
    return f"'{code}" if code.startswith("'") and code.lstrip("'")[:1].isdigit() else code


def _amount(minor: int | None, currency: str) -> str:
    if minor is None:
        return ""
    digits = minor_digits(currency)
    whole, rest = divmod(minor, 10**digits)
    return f"{whole}.{rest:0{digits}}" if digits else str(whole)
