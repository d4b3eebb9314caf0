"""The headers of import files: which format a file is in, and where its columns stand. Pure.

Names are compared without regard to case, blanks, hyphens and marks around them. A column that nothing here reads is
no fault; what it holds is counted and told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from marketd.catalog.errors import ImportFileInvalid


class FileFormat(StrEnum):
    """Whose product CSV it is."""

    SHOPIFY = "SHOPIFY"
    WOOCOMMERCE = "WOOCOMMERCE"


@dataclass(frozen=True, slots=True)
class Layout:
    """What the header says.

    columns: the known columns in the order of a row's cells, by the names that are used here (those of Shopify's older
    files; those of WooCommerce). names: what the file calls each; empty where it has no such column.
    decimal_comma: whether prices of this file are written as 9,50; None when nothing tells.
    """

    format: FileFormat
    columns: tuple[str, ...]
    names: tuple[str, ...]
    decimal_comma: bool | None = None

    def has(self, column: str) -> bool:
        """Whether the file has the column."""
        return bool(self.names[self.columns.index(column)])

    @property
    def missing(self) -> frozenset[str]:
        """The fields of ParsedProduct and ParsedVariant that the file has no column for: what is there should stay."""
        fields = _FIELDS[self.format]
        return frozenset(field for field, columns in fields.items() if not any(map(self.has, columns)))


SHOPIFY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Handle": ("handle", "url handle"),
    "Title": ("title",),
    "Body (HTML)": ("body (html)", "description", "body html"),
    "Vendor": ("vendor",),
    "Type": ("type", "custom product type"),
    "Tags": ("tags",),
    "Published": ("published", "published on online store"),
    "Status": ("status",),
    "Gift Card": ("gift card",),
    "Option1 Name": ("option1 name",),
    "Option1 Value": ("option1 value",),
    "Option2 Name": ("option2 name",),
    "Option2 Value": ("option2 value",),
    "Option3 Name": ("option3 name",),
    "Option3 Value": ("option3 value",),
    "Variant SKU": ("variant sku", "sku"),
    "Variant Barcode": ("variant barcode", "barcode"),
    "Variant Price": ("variant price", "price"),
    "Variant Compare At Price": ("variant compare at price", "compare at price"),
    "Variant Inventory Tracker": ("variant inventory tracker", "inventory tracker"),
    "Variant Inventory Qty": ("variant inventory qty", "inventory quantity", "variant inventory quantity"),
    "Variant Inventory Policy": ("variant inventory policy", "continue selling when out of stock"),
    "Variant Grams": ("variant grams", "weight value (grams)"),
    "Variant Requires Shipping": ("variant requires shipping", "requires shipping"),
    "Variant Image": ("variant image", "variant image url"),
    "Image Src": ("image src", "product image url"),
    "Image Position": ("image position",),
    "Image Alt Text": ("image alt text",),
}
_REQUIRED = {FileFormat.SHOPIFY: ("Handle", "Title", "Variant Price")}
_FIELDS: Mapping[FileFormat, Mapping[str, tuple[str, ...]]] = {
    FileFormat.SHOPIFY: {
        "description": ("Body (HTML)",),
        "vendor": ("Vendor",),
        "category": ("Type",),
        "tags": ("Tags",),
        "state": ("Published", "Status"),
        "sku": ("Variant SKU",),
        "barcode": ("Variant Barcode",),
        "compare_at_price_minor": ("Variant Compare At Price",),
        "quantity": ("Variant Inventory Qty",),
        "policy": ("Variant Inventory Tracker", "Variant Inventory Policy", "Variant Inventory Qty"),
        "weight_grams": ("Variant Grams",),
        "requires_shipping": ("Variant Requires Shipping",),
        "images": ("Image Src", "Variant Image"),
        "attributes": (),
    }
}

_SPACES = re.compile(r"[\s\-_\u00a0\u200b\ufeff]+")


def plain(name: str) -> str:
    """A column's name as it is compared."""
    return _SPACES.sub(" ", name.casefold()).strip(" *\"'")


def read_layout(header: Sequence[str], row: int) -> tuple[Layout, tuple[int | None, ...]]:
    """The layout of a file by its first row, and the place of each known column in the file's rows.

    Raises ImportFileInvalid when a column that is needed is missing, or a known one stands twice.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        places.setdefault(plain(name), []).append(place)
    found: list[int | None] = []
    for column, names in SHOPIFY_COLUMNS.items():
        name = next((name for name in names if name in places), None)
        if name is None:
            if column in _REQUIRED[FileFormat.SHOPIFY]:
                raise ImportFileInvalid(row, column, f"the column '{column}' is missing")
            found.append(None)
            continue
        if len(places[name]) > 1:
            raise ImportFileInvalid(row, header[places[name][0]], "the column stands twice; keep one of the two")
        found.append(places[name][0])
    names = tuple("" if place is None else header[place].strip() for place in found)
    return Layout(FileFormat.SHOPIFY, tuple(SHOPIFY_COLUMNS), names), tuple(found)
