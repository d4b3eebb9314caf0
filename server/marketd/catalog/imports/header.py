"""The headers of import files: which format a file is in, and where its columns stand. Pure.

Names are compared without regard to case, blanks, hyphens and marks around them. A column that nothing here reads is
no fault; what it holds is counted and told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    decimal_comma: whether numbers of this file are written as 9,50; None when nothing tells.

    From these follow `places`, where each of `columns` stands in a row's cells, and `missing`, the fields of
    ParsedProduct and ParsedVariant that the file has no column for: what is there should stay. Rows ask for both.
    """

    format: FileFormat
    columns: tuple[str, ...]
    names: tuple[str, ...]
    decimal_comma: bool | None = None
    places: Mapping[str, int] = field(init=False, repr=False, compare=False)
    missing: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what follows."""
        object.__setattr__(self, "places", {column: place for place, column in enumerate(self.columns)})
        fields = _FIELDS[self.format].items()
        missing = frozenset(name for name, columns in fields if not any(map(self.has, columns)))
        object.__setattr__(self, "missing", missing)

    def name(self, column: str) -> str:
        """What the file calls the column, else what it is called here."""
        return self.names[self.places[column]] or column

    def has(self, column: str) -> bool:
        """Whether the file has the column."""
        return column in self.places and bool(self.names[self.places[column]])


# By the names in Shopify's older and newer files, and some that other tools write; in the order of its own files, which
# exports keep.
SHOPIFY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Handle": ("handle", "url handle"),
    "Title": ("title",),
    "Body (HTML)": ("body (html)", "description", "body html", "body(html)", "body"),
    "Vendor": ("vendor",),
    "Type": ("type", "custom product type", "product type"),
    "Tags": ("tags",),
    "Published": ("published", "published on online store"),
    "Option1 Name": ("option1 name",),
    "Option1 Value": ("option1 value",),
    "Option2 Name": ("option2 name",),
    "Option2 Value": ("option2 value",),
    "Option3 Name": ("option3 name",),
    "Option3 Value": ("option3 value",),
    "Variant SKU": ("variant sku", "sku"),
    "Variant Grams": ("variant grams", "weight value (grams)"),
    "Variant Inventory Tracker": ("variant inventory tracker", "inventory tracker"),
    "Variant Inventory Qty": ("variant inventory qty", "inventory quantity", "variant inventory quantity"),
    "Variant Inventory Policy": ("variant inventory policy", "continue selling when out of stock"),
    "Variant Price": ("variant price", "price"),
    "Variant Compare At Price": ("variant compare at price", "compare at price"),
    "Variant Requires Shipping": ("variant requires shipping", "requires shipping"),
    "Variant Barcode": ("variant barcode", "barcode"),
    "Image Src": ("image src", "product image url", "image source", "image url"),
    "Image Position": ("image position",),
    "Image Alt Text": ("image alt text",),
    "Gift Card": ("gift card",),
    "Variant Image": ("variant image", "variant image url"),
    "Status": ("status",),
}
_WOOCOMMERCE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ID": ("id",),
    "Type": ("type",),
    "SKU": ("sku",),
    "GTIN": ("gtin, upc, ean, or isbn", "gtin upc ean or isbn", "meta: global unique id", "ean", "gtin"),
    "Name": ("name",),
    "Published": ("published", "status"),
    "Short description": ("short description",),
    "Description": ("description",),
    "Sale starts": ("date sale price starts",),
    "Sale ends": ("date sale price ends",),
    "In stock?": ("in stock?",),
    "Stock": ("stock", "stock quantity"),
    "Backorders allowed?": ("backorders allowed?",),
    "Sale price": ("sale price",),
    "Regular price": ("regular price",),
    "Price": ("price",),
    "Categories": ("categories",),
    "Tags": ("tags",),
    "Brands": ("brands", "brand"),
    "Images": ("images", "all images"),
    "Parent": ("parent",),
    "Weight": ("weight (kg)", "weight (g)", "weight (lbs)", "weight (oz)"),
}
# WooCommerce writes its header in the language of the shop; of German ones the names are known.
_IN_GERMAN: Mapping[str, tuple[str, ...]] = {
    "Type": ("typ",),
    "SKU": ("artikelnummer",),
    "GTIN": ("gtin, upc, ean oder isbn",),
    "Published": ("veröffentlicht",),
    "Short description": ("kurzbeschreibung",),
    "Description": ("beschreibung",),
    "Sale starts": ("datum, an dem angebotspreis beginnt",),
    "Sale ends": ("datum, an dem angebotspreis endet",),
    "In stock?": ("vorrätig?",),
    "Stock": ("lager", "bestand", "lagerbestand"),
    "Backorders allowed?": ("lieferrückstände erlaubt?", "lieferrückstande erlaubt?"),
    "Sale price": ("angebotspreis",),
    "Regular price": ("regulärer preis",),
    "Categories": ("kategorien",),
    "Tags": ("schlagwörter",),
    "Brands": ("marken",),
    "Images": ("bilder",),
    "Parent": ("übergeordnetes produkt",),
    "Weight": ("gewicht (kg)", "gewicht (g)"),
}
_STOCK_LIST = frozenset({"location", "coo"})
"""Shopify's export of stock by location has one of these, has handles and titles, and no products to sell."""
_FIELDS: Mapping[FileFormat, Mapping[str, tuple[str, ...]]] = {
    FileFormat.SHOPIFY: {
        "description": ("Body (HTML)",),
        "vendor": ("Vendor",),
        "category": ("Type",),
        "tags": ("Tags",),
        "state": ("Published", "Status"),
        "options": ("Option1 Value", "Option2 Value", "Option3 Value"),
        "sku": ("Variant SKU",),
        "barcode": ("Variant Barcode",),
        "price_minor": ("Variant Price",),
        "compare_at_price_minor": ("Variant Compare At Price",),
        "quantity": ("Variant Inventory Qty",),
        "policy": ("Variant Inventory Tracker", "Variant Inventory Policy", "Variant Inventory Qty"),
        "weight_grams": ("Variant Grams",),
        "requires_shipping": ("Variant Requires Shipping",),
        "images": ("Image Src", "Variant Image"),
        "attributes": (),
    },
    FileFormat.WOOCOMMERCE: {
        "description": ("Description", "Short description"),
        "vendor": ("Brands",),
        "category": ("Categories",),
        "tags": ("Tags",),
        "state": ("Published",),
        "options": ("Attribute 1 name",),
        "sku": ("SKU",),
        "barcode": ("GTIN",),
        "price_minor": ("Regular price",),
        "compare_at_price_minor": ("Sale price",),
        "quantity": ("Stock",),
        "policy": ("Stock", "In stock?", "Backorders allowed?"),
        "weight_grams": ("Weight",),
        "requires_shipping": ("Type",),
        "images": ("Images",),
        "attributes": ("Attribute 1 name",),
    },
}

MAX_ATTRIBUTES = 50
MAX_COLUMNS = 2000
"""More than any export has; a row costs what its header has, however short it is itself."""
_MAX_TOLD = 60
_SPACES = re.compile(r"[\s\-_\u00a0\u200b\ufeff]+")
_ATTRIBUTE = re.compile(r"attribute? ([1-9][0-9]?) (?:name|value\(s\)|wert\(e\))")


def plain(name: str) -> str:
    """A column's name as it is compared."""
    return _SPACES.sub(" ", name.casefold()).strip(" *\"'")


def read_layout(header: Sequence[str], row: int) -> tuple[Layout, tuple[int | None, ...]]:
    """The layout of a file by its first row, and the place of each known column in the file's rows.

    Raises ImportFileInvalid when a column that is needed is missing, a known one stands twice, or there are too many.
    """
    if len(header) > MAX_COLUMNS:
        raise ImportFileInvalid(row, "", f"the header has {len(header)} columns and may have {MAX_COLUMNS}")
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        places.setdefault(plain(name), []).append(place)
    shape, known = _shape(places)
    found: list[int | None] = []
    for names in known.values():
        # A file of the newer kind may hold a column of each kind; those of its own kind count.
        if "url handle" in places:
            names = tuple(reversed(names))
        name = next((name for name in names if name in places), "")
        if not name:
            found.append(None)
            continue
        if len(places[name]) > 1:
            raise ImportFileInvalid(
                row, _named(header[places[name][0]]), "the column stands twice; keep the one that is right"
            )
        found.append(places[name][0])
    layout = Layout(shape, tuple(known), tuple("" if place is None else _named(header[place]) for place in found))
    if shape is FileFormat.SHOPIFY:
        _check_what_is_needed(layout, row, header, places)
    return layout, tuple(found)


def _check_what_is_needed(layout: Layout, row: int, header: Sequence[str], places: Mapping[str, object]) -> None:
    """A product needs a title, and a handle or a price: handles can be made of titles, and drafts have no price."""
    missing = [column for column in ("Handle", "Title", "Variant Price") if not layout.has(column)]
    if "Title" in missing or len(missing) > 1:
        raise _missing(row, missing[0], header)
    if "Variant Price" in missing and places.keys() & _STOCK_LIST:
        raise ImportFileInvalid(row, "", "this is a list of stock and not of products; export the products")


def _named(name: str) -> str:
    """What the file calls a column, as it is told with every row: blanks collapsed, for there may be a million."""
    return " ".join(name.split())[:_MAX_TOLD]


def _shape(places: Mapping[str, Sequence[int]]) -> tuple[FileFormat, Mapping[str, tuple[str, ...]]]:
    columns = {name: (*names, *_IN_GERMAN.get(name, ())) for name, names in _WOOCOMMERCE_COLUMNS.items()}
    needed = (columns["Regular price"], columns["Type"], columns["Name"])
    if "handle" in places or any(places.keys().isdisjoint(names) for names in needed):
        return FileFormat.SHOPIFY, SHOPIFY_COLUMNS
    numbers = sorted({int(found.group(1)) for name in places if (found := _ATTRIBUTE.fullmatch(name))})
    for number in numbers[:MAX_ATTRIBUTES]:
        for part, german in (("name", "name"), ("value(s)", "wert(e)")):
            columns[f"Attribute {number} {part}"] = (f"attribute {number} {part}", f"attribut {number} {german}")
    return FileFormat.WOOCOMMERCE, columns


def _missing(row: int, column: str, header: Sequence[str]) -> ImportFileInvalid:
    names = [name.strip() for name in header if name.strip()]
    listed = ", ".join(name[:40] for name in names[:8]) + (", …" if len(names) > 8 else "")
    newer = {"Handle": "URL handle", "Variant Price": "Price"}.get(column)
    also = f" (in newer files '{newer}')" if newer else ""
    return ImportFileInvalid(
        row, column, f"the column '{column}'{also} is missing; the columns found are: {listed or 'none'}"
    )
