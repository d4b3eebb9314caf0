"""Shopify's product CSV, as it really is, into products. Pure but for the file it is given.

One product is all rows of one Handle, wherever they stand. Its first row has its title, text, vendor, type and tags,
and the names of its options; every row may bring a variant, a picture, or both. SKU and inventory tracker are often
empty: then the option values tell variants apart, and the quantity counts all the same. "Title / Default Title" is no
option. A product with one bad row is rejected whole, and each of its rows is reported: half a product would sell what
the seller did not mean, and nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from marketd.catalog.descriptions import safe_html
from marketd.catalog.imports import cells
from marketd.catalog.imports.cells import BadCell
from marketd.catalog.imports.claims import Claims
from marketd.catalog.imports.header import SHOPIFY_COLUMNS, Layout
from marketd.catalog.imports.parsed import (
    Parsed,
    ParsedImage,
    ParsedProduct,
    ParsedVariant,
    RowError,
    RowReason,
    RowWarning,
    rejected_rows,
)
from marketd.catalog.model import MAX_DESCRIPTION, MAX_VARIANTS, ProductState
from marketd.catalog.names import Options, options_key
from marketd.inventory.model import StockPolicy
from marketd.kernel.values.texts import name_key

MAX_IMAGES = 250

_PLACES = {name: place for place, name in enumerate(SHOPIFY_COLUMNS)}
_OPTIONS = ("1", "2", "3")
_VARIANT_MARKS = ("Option1 Value", "Option2 Value", "Option3 Value", "Variant SKU", "Variant Price")

T = TypeVar("T")


class _Record:
    """The cells of one row that matter here, stripped."""

    __slots__ = ("_cells", "number")

    def __init__(self, number: int, cells: tuple[str, ...]) -> None:
        self.number = number
        self._cells = cells

    def __getitem__(self, column: str) -> str:
        return self._cells[_PLACES[column]]


def parse_product(
    layout: Layout,
    handle: str,
    rows: Sequence[tuple[int, tuple[str, ...]]],
    problems: Sequence[tuple[int, str]],
    currency: str,
    claims: Claims,
) -> Parsed:
    """See products.parse_product."""
    product = _Product(layout, handle, rows, problems, currency, claims)
    parsed = product.parse()
    if parsed is None:
        return Parsed(None, tuple(rejected_rows(handle, product.rows, product.errors)), ())
    return Parsed(parsed, (), tuple(product.warnings))


class _Product:
    """Makes a product of the rows of one Handle."""

    def __init__(
        self,
        layout: Layout,
        handle: str,
        rows: Sequence[tuple[int, tuple[str, ...]]],
        problems: Sequence[tuple[int, str]],
        currency: str,
        claims: Claims,
    ) -> None:
        self._layout = layout
        self._handle = handle
        self._records = [_Record(number, values) for number, values in rows]
        self._currency = currency
        self._claims = claims
        self.rows = tuple(sorted([number for number, _ in rows] + [number for number, _ in problems]))
        self.errors = [RowError(row, "", RowReason.MALFORMED_ROW, problem, handle) for row, problem in problems]
        self.warnings: list[RowWarning] = []

    def parse(self) -> ParsedProduct | None:
        """The product, or None when the group has errors."""
        records = self._records
        if not records:
            return None
        first = next((record for record in records if record["Title"]), records[0])
        self._cell(first, "Handle", lambda text: cells.short(text, 255))
        if not first["Title"]:
            self._fail(first, "Title", RowReason.MISSING_VALUE, "the product has no title")
        title = self._cell(first, "Title", lambda text: cells.short(text, 255)) or ""
        description = self._cell(first, "Body (HTML)", _description) or ""
        vendor = self._cell(first, "Vendor", lambda text: cells.short(text, 120)) or ""
        category = self._cell(first, "Type", lambda text: cells.short(text, 120)) or ""
        tags = self._cell(first, "Tags", cells.tags) or ()
        published = self._cell(first, "Published", cells.flag)
        active = self._cell(first, "Status", cells.status)
        names = self._option_names(first)
        variants = self._variants(records, first, names)
        images = self._images(records, variants)
        if self.errors:
            return None
        return ParsedProduct(
            handle=self._handle,
            slug_from=self._handle,
            rows=self.rows,
            title=title,
            description=description,
            vendor=vendor,
            category=category,
            tags=tags,
            state=ProductState.PUBLISHED if published and active else ProductState.DRAFT,
            option_names=tuple(name for name in names if name),
            variants=tuple(variants),
            images=tuple(images),
            attributes=(),
        )

    def _option_names(self, first: _Record) -> tuple[str, str, str]:
        """The names by their columns; empty where there is none. "Title / Default Title" is none."""
        found: list[str] = []
        for place in _OPTIONS:
            column = f"Option{place} Name"
            name = self._cell(first, column, lambda text: cells.short(text, 60)) or ""
            if name and name_key(name) in map(name_key, found):
                self._fail(first, column, RowReason.INVALID_VALUE, "two options have the same name")
            found.append(name)
        if found == ["Title", "", ""] and first["Option1 Value"].casefold() in ("default title", ""):
            found[0] = ""
        return found[0], found[1], found[2]

    def _variants(self, records: Sequence[_Record], first: _Record, names: tuple[str, str, str]) -> list[ParsedVariant]:
        variants: list[ParsedVariant] = []
        chosen: dict[str, int] = {}
        for record in records:
            if record is not first and not any(record[column] for column in _VARIANT_MARKS):
                continue
            variant = self._variant(record, names)
            if variant is None:
                continue
            key = options_key(variant.options)
            if key in chosen:
                message = f"row {chosen[key]} of the product has the same option values"
                self._fail(record, "Option1 Value", RowReason.DUPLICATE_VARIANT, message)
            chosen.setdefault(key, record.number)
            if variant.sku and self._claims.claim(name_key(variant.sku), self._handle, record.number):
                self._fail(record, "Variant SKU", RowReason.DUPLICATE_SKU, "the SKU stands at another variant as well")
            variants.append(variant)
        if len(variants) > MAX_VARIANTS:
            message = f"the product has {len(variants)} variants and may have {MAX_VARIANTS}"
            self._fail(first, "", RowReason.TOO_LONG, message)
        return variants

    def _variant(self, record: _Record, names: tuple[str, str, str]) -> ParsedVariant | None:
        before = len(self.errors)
        options = self._options(record, names)
        if not record["Variant Price"]:
            self._fail(record, "Variant Price", RowReason.MISSING_VALUE, "the variant has no price")
            return None
        price = self._cell(record, "Variant Price", lambda text: cells.amount(text, self._currency))
        variant = ParsedVariant(
            row=record.number,
            options=options,
            sku=cells.without_apostrophe(self._cell(record, "Variant SKU", lambda text: cells.short(text, 255)) or ""),
            price_minor=price,
            compare_at_price_minor=self._former_price(record, price),
            quantity=self._cell(record, "Variant Inventory Qty", lambda text: cells.count(text) if text else None),
            barcode=cells.without_apostrophe(
                self._cell(record, "Variant Barcode", lambda text: cells.short(text, 64)) or ""
            ),
            weight_grams=self._cell(record, "Variant Grams", cells.grams),
            policy=StockPolicy.TRACKED,
            requires_shipping=True,
            image_url=self._cell(record, "Variant Image", lambda text: cells.address(text) if text else "") or "",
        )
        return variant if len(self.errors) == before else None

    def _former_price(self, record: _Record, price: int | None) -> int | None:
        """The price to cross out; one that is not above the price would tell buyers of a saving that there is not."""
        column = "Variant Compare At Price"
        former = self._cell(record, column, lambda text: cells.amount(text, self._currency) if text else None)
        if former is None or price is None or former > price:
            return former
        # Shops leave 0 or the price itself there and mean none.
        message = f"'{record[column]}' is not above the price, so it is left out"
        self.warnings.append(RowWarning(record.number, column, RowReason.NOT_ABOVE_PRICE, message, self._handle))
        return None

    def _options(self, record: _Record, names: tuple[str, str, str]) -> Options:
        options: list[tuple[str, str]] = []
        for place, name in zip(_OPTIONS, names, strict=True):
            column = f"Option{place} Value"
            value = self._cell(record, column, lambda text: cells.short(text, 255)) or ""
            if name and not value:
                self._fail(record, column, RowReason.MISSING_VALUE, f"the variant does not say its {name}")
            elif name:
                options.append((name, value))
            elif value and value.casefold() != "default title":
                self._fail(
                    record, column, RowReason.INVALID_VALUE, f"the product's first row does not name option {place}"
                )
        return tuple(options)

    def _images(self, records: Sequence[_Record], variants: Sequence[ParsedVariant]) -> list[ParsedImage]:
        """The pictures by position, each address once; pictures that only variants name come last."""
        found: dict[str, tuple[int, str]] = {}
        for record in records:
            if not record["Image Src"]:
                continue
            url = self._cell(record, "Image Src", cells.address)
            position = self._cell(record, "Image Position", lambda text: cells.count(text, 100_000) if text else 0)
            alt_text = self._cell(record, "Image Alt Text", lambda text: cells.short(text, 512))
            if url is not None and position is not None and alt_text is not None:
                known = found.setdefault(url, (position or len(found) + 1, alt_text))
                found[url] = (known[0], known[1] or alt_text)
        ordered = sorted(found.items(), key=lambda item: item[1][0])
        images = [ParsedImage(url, alt_text) for url, (_, alt_text) in ordered]
        for variant in variants:
            if variant.image_url and variant.image_url not in found:
                found[variant.image_url] = (0, "")
                images.append(ParsedImage(variant.image_url, ""))
        if len(images) > MAX_IMAGES:
            message = f"the product has {len(images)} pictures and may have {MAX_IMAGES}"
            self._fail(records[0], "Image Src", RowReason.TOO_LONG, message)
        return images

    def _cell(self, record: _Record, column: str, read: Callable[[str], T]) -> T | None:
        try:
            return read(record[column])
        except BadCell as bad:
            self._fail(record, column, bad.reason, bad.message)
            return None

    def _fail(self, record: _Record, column: str, reason: RowReason, message: str) -> None:
        self.errors.append(RowError(record.number, column, reason, message, self._handle))


def _description(text: str) -> str:
    """What is kept of a description; cleaning can only make it longer by what it writes in place of a bare `<`."""
    return cells.short(safe_html(cells.short(text, MAX_DESCRIPTION, lines=True)), MAX_DESCRIPTION, lines=True)
