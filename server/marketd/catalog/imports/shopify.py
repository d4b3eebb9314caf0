"""The rows of one product of a Shopify file into that product. Pure.

Its first row has its title, text, vendor, type and tags, and the names of its options; every row may bring a variant, a
picture, or both. SKU and inventory tracker are often empty: then the option values tell variants apart, and the
quantity counts all the same. What is sold (title, options, price) must be known, or the product is refused whole; of
all else a bad cell costs itself, and a warning tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from marketd.catalog.imports import cells
from marketd.catalog.imports.findings import Findings, Record
from marketd.catalog.imports.header import Layout
from marketd.catalog.imports.numbers import shown
from marketd.catalog.imports.options import VALUE_COLUMNS, ProductOptions
from marketd.catalog.imports.parsed import (
    BadCell,
    ParsedImage,
    ParsedProduct,
    ParsedVariant,
    RowReason,
)
from marketd.catalog.imports.pictures import MAX_ALT_TEXT, MAX_PICTURES, Pictures
from marketd.catalog.imports.skus import barcode, code, former_price
from marketd.catalog.imports.texts import read_body, read_tags
from marketd.catalog.model import MAX_VARIANTS, ProductState
from marketd.inventory.model import StockPolicy
from marketd.kernel.values.texts import name_key

MAX_TITLE = 255
MAX_NAME = 120
MAX_SKU = 255
MAX_BARCODE = 64

_VARIANT_MARKS = (*VALUE_COLUMNS, "Variant SKU", "Variant Price")
_VARIANT_CELLS = (
    "Variant SKU",
    "Variant Price",
    "Variant Compare At Price",
    "Variant Inventory Qty",
    "Variant Grams",
    "Variant Barcode",
)
_NO_TRACKER = frozenset({"", "none", "no", "false", "null", "not tracked"})
_STATUSES = {
    "": ProductState.PUBLISHED,
    "active": ProductState.PUBLISHED,
    "published": ProductState.PUBLISHED,
    "draft": ProductState.DRAFT,
    "archived": ProductState.ARCHIVED,
}


def read_product(
    layout: Layout, handle: str, records: Sequence[Record], rows: tuple[int, ...], currency: str, findings: Findings
) -> ParsedProduct | None:
    """The product of these records; None, or with errors among the findings, where it cannot be one.

    rows: the numbers of all its rows, those that could not be read among them.
    """
    return _Product(layout, handle, records, currency, findings).read(rows)


class _Product:
    """Makes a product of the rows of one Handle."""

    def __init__(
        self, layout: Layout, handle: str, records: Sequence[Record], currency: str, findings: Findings
    ) -> None:
        self._layout = layout
        self._handle = handle
        self._records = records
        self._currency = currency
        self._findings = findings
        self._pictures = Pictures()

    def read(self, rows: tuple[int, ...]) -> ParsedProduct | None:
        """The product; None, or with errors among the findings, where it cannot be one."""
        findings = self._findings
        first = next((record for record in self._records if record["Title"]), self._records[0])
        if findings.wanted(first, "Gift Card", cells.flag, otherwise=False):
            findings.fail(first, "Gift Card", RowReason.GIFT_CARD, "gift cards are not sold here")
            return None
        findings.notes(self._records)
        for record in self._records:
            if not record["Handle"]:
                message = f"the row has no handle and is taken for '{self._handle[:60]}'"
                findings.warn(record, "Handle", RowReason.MISSING_VALUE, message)
        title = findings.text(first, "Title", MAX_TITLE)
        if not title:
            findings.fail(first, "Title", RowReason.MISSING_VALUE, "the product has no title")
        state = self._state(first)
        variants = self._variants(first)
        images = self._images(variants)
        # Without a column of prices it is not this file that says what can be sold.
        is_sold = "price_minor" in self._layout.missing or any(variant.price_minor is not None for variant in variants)
        if not is_sold and state is ProductState.PUBLISHED:
            state = ProductState.DRAFT
        return ParsedProduct(
            handle=self._handle,
            slug_from=self._handle,
            rows=rows,
            title=title,
            description=read_body(findings, first, "Body (HTML)"),
            vendor=findings.text(first, "Vendor", MAX_NAME),
            category=findings.text(first, "Type", MAX_NAME),
            tags=read_tags(findings, first, "Tags"),
            state=state,
            option_names=self._options.names,
            variants=tuple(variants),
            images=tuple(images),
            attributes=(),
        )

    def _state(self, first: Record) -> ProductState:
        findings = self._findings
        state = _STATUSES.get(first["Status"].casefold())
        if state is None:
            message = f"{shown(first['Status'])} is not active, draft or archived, so the product is a draft"
            findings.warn(first, "Status", RowReason.INVALID_VALUE, message)
            state = ProductState.DRAFT
        is_shown = findings.wanted(first, "Published", cells.flag, otherwise=True)
        return ProductState.DRAFT if state is ProductState.PUBLISHED and not is_shown else state

    def _variants(self, first: Record) -> list[ParsedVariant]:
        findings = self._findings
        holders = [record for record in self._records if record.has(*_VARIANT_MARKS)]
        if not holders and first.has(*_VARIANT_CELLS):
            holders = [first]
        if not holders:
            # Exports write a product without variants so, which only a draft can be.
            message = "the product has no variant and cannot be bought, so it is a draft"
            findings.warn(first, "", RowReason.MISSING_VALUE, message)
        self._options = ProductOptions(findings, first, holders)
        variants: list[ParsedVariant] = []
        seen: dict[tuple[tuple[str, str], ...], Record] = {}
        for record in holders:
            if self._options.names and record is not first and self._only_shows(record, first):
                continue
            if self._options.names and record is first and not record.has(*VALUE_COLUMNS):
                # Tools write the product itself as a row above those of its variants, often with a price.
                message = f"the row chooses no {' and '.join(self._options.names)}, so it is no variant"
                findings.warn(record, VALUE_COLUMNS[0], RowReason.MISSING_VALUE, message)
                continue
            options = self._options.of(record)
            # As options_key tells them apart; the names are the product's own and need no folding.
            before = seen.setdefault(tuple((name, name_key(value)) for name, value in options), record)
            if before is not record:
                self._again(record, before)
                continue
            variants.append(self._variant(record, options))
        if len(variants) > MAX_VARIANTS:
            message = f"the product has {len(variants)} variants and may have {MAX_VARIANTS}"
            findings.fail(first, "", RowReason.TOO_LONG, message)
        return variants

    def _only_shows(self, record: Record, first: Record) -> bool:
        """Whether a row is there for its picture and repeats cells of the first without choosing anything."""
        return (
            bool(record["Image Src"])
            and not record.has(*VALUE_COLUMNS)
            and all(record[column] in ("", first[column]) for column in _VARIANT_CELLS)
        )

    def _again(self, record: Record, before: Record) -> None:
        """A second row with the same option values: it repeats the first, or contradicts it."""
        differs = next((column for column in _VARIANT_CELLS if record[column] not in ("", before[column])), None)
        if differs is None:
            if not record["Image Src"]:
                message = f"the row says the same as row {before.number}"
                self._findings.warn(record, "", RowReason.DUPLICATE_VARIANT, message)
            return
        column = "Variant Price" if self._has_other_price(record, before) else differs
        message = f"row {before.number} has the same option values and another {self._findings.name(column)}"
        if column == "Variant Price":
            # Nobody knows what it costs.
            self._findings.fail(record, "Option1 Value", RowReason.DUPLICATE_VARIANT, message)
        else:
            message += "; it holds, and of this row comes only its picture"
            self._findings.warn(record, "Option1 Value", RowReason.DUPLICATE_VARIANT, message)

    def _has_other_price(self, record: Record, before: Record) -> bool:
        prices = [one["Variant Price"] for one in (record, before)]
        try:
            amounts = {cells.amount(text, self._currency, self._layout.decimal_comma) for text in prices if text}
        except BadCell:
            return prices[0] != prices[1]
        return len(amounts) > 1

    def _variant(self, record: Record, options: tuple[tuple[str, str], ...]) -> ParsedVariant:
        findings = self._findings
        price = self._price(record)
        quantity = findings.wanted(record, "Variant Inventory Qty", cells.quantity, None)
        return ParsedVariant(
            row=record.number,
            options=options,
            sku=code(findings, record, "Variant SKU", MAX_SKU),
            price_minor=price,
            compare_at_price_minor=self._former_price(record, price),
            quantity=quantity,
            policy=self._policy(record, quantity),
            barcode=barcode(findings, record, "Variant Barcode", MAX_BARCODE),
            weight_grams=findings.wanted(record, "Variant Grams", cells.grams, None),
            requires_shipping=findings.wanted(record, "Variant Requires Shipping", cells.flag, otherwise=True),
            image_url=findings.wanted(record, "Variant Image", cells.address, ""),
        )

    def _price(self, record: Record) -> int | None:
        if "price_minor" in self._layout.missing:
            return None
        if not record["Variant Price"]:
            message = "the variant has no price and cannot be bought; a product without any is a draft"
            self._findings.warn(record, "Variant Price", RowReason.MISSING_VALUE, message)
            return None
        return self._findings.needed(
            record, "Variant Price", lambda text: cells.amount(text, self._currency, self._layout.decimal_comma)
        )

    def _former_price(self, record: Record, price: int | None) -> int | None:
        return former_price(
            self._findings, record, "Variant Compare At Price", price, self._currency, self._layout.decimal_comma
        )

    def _policy(self, record: Record, quantity: int | None) -> StockPolicy:
        if self._layout.has("Variant Inventory Tracker"):
            tracked = record["Variant Inventory Tracker"].casefold() not in _NO_TRACKER
        else:
            tracked = quantity is not None
        if not tracked:
            return StockPolicy.UNTRACKED
        text = record["Variant Inventory Policy"].casefold()
        if text in ("continue", "true", "yes", "1"):
            return StockPolicy.CONTINUE
        if text not in ("", "deny", "false", "no", "0"):
            message = f"{shown(text)} is not deny or continue; it is not sold beyond its stock"
            self._findings.warn(record, "Variant Inventory Policy", RowReason.INVALID_VALUE, message)
        return StockPolicy.TRACKED

    def _images(self, variants: Sequence[ParsedVariant]) -> list[ParsedImage]:
        findings = self._findings
        for record in self._records:
            if not record["Image Src"]:
                continue
            alt_text = findings.text(record, "Image Alt Text", MAX_ALT_TEXT)
            position = cells.position(record["Image Position"])
            for part in cells.addresses(record["Image Src"]):
                url = findings.part(record, "Image Src", part, cells.address, "")
                if url:
                    self._pictures.add(url, position, alt_text)
        images = self._pictures.in_order([variant.image_url for variant in variants])
        if len(images) > MAX_PICTURES:
            message = f"the product has {len(images)} pictures; the first {MAX_PICTURES} come in"
            findings.warn(self._records[0], "Image Src", RowReason.TOO_LONG, message)
            del images[MAX_PICTURES:]
        return images
