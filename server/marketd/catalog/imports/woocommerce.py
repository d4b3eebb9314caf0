"""The rows of one product of a WooCommerce file into that product. Pure.

What has no like here is told: of several categories the first stays; a sale that begins or ends some day is left out;
a variation for "any" value of an option keeps that word; of a stock that variations share, the first has all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from marketd.catalog.imports import cells
from marketd.catalog.imports.findings import Findings, Record
from marketd.catalog.imports.header import Layout
from marketd.catalog.imports.numbers import shown
from marketd.catalog.imports.options import MAX_NAME as MAX_OPTION
from marketd.catalog.imports.options import MAX_VALUE
from marketd.catalog.imports.parsed import (
    ParsedProduct,
    ParsedVariant,
    RowReason,
)
from marketd.catalog.imports.pictures import MAX_PICTURES, Pictures
from marketd.catalog.imports.skus import barcode, code, former_price
from marketd.catalog.imports.texts import body, read_tags
from marketd.catalog.model import MAX_VARIANTS, ProductState
from marketd.catalog.names import Options, options_key
from marketd.inventory.model import StockPolicy
from marketd.kernel.values.texts import name_key

MAX_ATTRIBUTES = 50
_ANY = "Any"
_PUBLIC = ("", "1", "true", "yes", "publish", "published")
_KINDS = frozenset({"simple", "variable", "variation", ""})
_QUALITIES = frozenset({"virtual", "downloadable"})
_COMMA = re.compile(r"(?<!\\),")
_UNITS = {"kg": Decimal(1000), "g": Decimal(1), "lbs": Decimal("453.59237"), "oz": Decimal("28.349523125")}
_UNIT = re.compile(r"\((kg|g|lbs|oz)\)\s*$", re.IGNORECASE)


def read_product(
    layout: Layout, handle: str, records: Sequence[Record], rows: tuple[int, ...], currency: str, findings: Findings
) -> ParsedProduct | None:
    """The product of these records; None, or with errors among the findings, where it cannot be one.

    rows: the numbers of all its rows, those that could not be read among them.
    """
    records = [record.with_cells(cells.unguarded) for record in records]
    return _Product(layout, handle, records, currency, findings).read(rows)


class _Product:
    """Makes a product of its row and those of its variations."""

    def __init__(
        self, layout: Layout, handle: str, records: Sequence[Record], currency: str, findings: Findings
    ) -> None:
        self._layout = layout
        self._handle = handle
        self._records = records
        self._currency = currency
        self._findings = findings
        self._numbers = [
            column.split()[1] for column in layout.columns if column.startswith("Attribute") and column.endswith("name")
        ]
        unit = _UNIT.search(layout.name("Weight"))
        self._gram = _UNITS[unit.group(1).lower()] if unit else Decimal(1)
        self._pictures = Pictures()

    def read(self, rows: tuple[int, ...]) -> ParsedProduct | None:
        """The product; None, or with errors among the findings, where it cannot be one."""
        findings = self._findings
        findings.notes(self._records)
        heads = [record for record in self._records if _kind(record)[0] != "variation"]
        if not heads:
            message = "the product that this is a variation of is not in the file"
            findings.fail(self._records[0], "Parent", RowReason.MISSING_VALUE, message)
            return None
        head = heads[0]
        for record in heads[1:]:
            findings.fail(
                record, "SKU", RowReason.DUPLICATE_SKU, f"row {head.number} is a product with the same SKU or id"
            )
        kind = _kind(head)[0]
        if kind not in _KINDS:
            message = f"a product of the kind {shown(head['Type'])} is not sold here"
            findings.fail(head, "Type", RowReason.UNSUPPORTED_KIND, message)
            return None
        title = findings.text(head, "Name", 255)
        if not title:
            findings.fail(head, "Name", RowReason.MISSING_VALUE, "the product has no name")
        variations = [record for record in self._records if record not in heads]
        names = self._option_names(variations)
        holders = variations if kind == "variable" and variations else [head]
        variants = self._variants(head, holders, names)
        self._show(head)
        images = self._pictures.in_order([variant.image_url for variant in variants])
        if len(images) > MAX_PICTURES:
            message = f"the product has {len(images)} pictures; the first {MAX_PICTURES} come in"
            findings.warn(head, "Images", RowReason.TOO_LONG, message)
        state = ProductState.PUBLISHED if head["Published"].casefold() in _PUBLIC else ProductState.DRAFT
        if all(variant.price_minor is None for variant in variants):
            state = ProductState.DRAFT
        return ParsedProduct(
            handle=self._handle,
            slug_from=title or self._handle,
            rows=rows,
            title=title,
            description=self._description(head),
            vendor=findings.text(head, "Brands", 120) if self._layout.has("Brands") else "",
            category=self._category(head),
            tags=read_tags(findings, head, "Tags"),
            state=state,
            option_names=tuple(names.values()),
            variants=tuple(variants),
            images=tuple(images[:MAX_PICTURES]),
            attributes=self._attributes(head, names),
        )

    def _option_names(self, variations: Sequence[Record]) -> dict[str, str]:
        """The names of the options by their keys: what any variation names."""
        names: dict[str, str] = {}
        for record in variations:
            for number in self._numbers:
                name = self._findings.text(record, f"Attribute {number} name", MAX_OPTION)
                if name:
                    names.setdefault(name_key(name), name)
        return names

    def _variants(self, head: Record, holders: Sequence[Record], names: Mapping[str, str]) -> list[ParsedVariant]:
        variants: list[ParsedVariant] = []
        seen: dict[str, int] = {}
        shares = False
        for record in holders:
            options = self._options(record, names)
            before = seen.setdefault(options_key(options), record.number)
            if before != record.number:
                # Shops of this kind may have two such variations, and sell the first.
                message = f"row {before} has the same option values; it holds, and this row is left out"
                self._findings.warn(record, "Attribute 1 value(s)", RowReason.DUPLICATE_VARIANT, message)
                continue
            parents = record["Stock"].casefold() == "parent"
            variants.append(self._variant(record, head, options, gets_shared=parents and not shares))
            shares = shares or parents
        if len(variants) > MAX_VARIANTS:
            message = f"the product has {len(variants)} variants and may have {MAX_VARIANTS}"
            self._findings.fail(head, "", RowReason.TOO_LONG, message)
        return variants

    def _options(self, record: Record, names: Mapping[str, str]) -> Options:
        chosen: dict[str, str] = {}
        for number in self._numbers:
            key = name_key(record[f"Attribute {number} name"])
            if key in names:
                column = f"Attribute {number} value(s)"
                value = self._findings.clean(record, column).replace("\\,", ",")
                if len(value) > MAX_VALUE:
                    message = f"has {len(value)} characters and may have {MAX_VALUE}"
                    self._findings.fail(record, column, RowReason.TOO_LONG, message)
                elif not value:
                    message = f"the variation is for any {names[key]}, and is called '{_ANY}'"
                    self._findings.warn(record, column, RowReason.MISSING_VALUE, message)
                chosen[key] = value or _ANY
        return tuple((name, chosen.get(key, _ANY)) for key, name in names.items())

    def _variant(self, record: Record, head: Record, options: Options, *, gets_shared: bool) -> ParsedVariant:
        findings = self._findings
        price, former = self._prices(record)
        quantity, policy = self._stock(record, head, gets_shared=gets_shared)
        pictures = self._addresses(record) if record is not head else []
        return ParsedVariant(
            row=record.number,
            options=options,
            sku=code(findings, record, "SKU", 255),
            price_minor=price,
            compare_at_price_minor=former,
            quantity=quantity,
            policy=policy,
            barcode=barcode(findings, record, "GTIN", 64) if self._layout.has("GTIN") else "",
            weight_grams=findings.wanted(
                record, "Weight", lambda text: cells.grams(text, self._gram, self._layout.decimal_comma), None
            )
            or findings.wanted(
                head, "Weight", lambda text: cells.grams(text, self._gram, self._layout.decimal_comma), None
            ),
            requires_shipping="virtual" not in _kind(record)[1],
            image_url=pictures[0] if pictures else "",
        )

    def _prices(self, record: Record) -> tuple[int | None, int | None]:
        """What it costs now, and what is crossed out beside it."""
        findings, layout = self._findings, self._layout
        has_sale = layout.has("Sale price") and bool(record["Sale price"])
        if has_sale and (
            (layout.has("Sale starts") and record["Sale starts"]) or (layout.has("Sale ends") and record["Sale ends"])
        ):
            message = "the sale is for a time; the regular price comes in"
            findings.warn(record, "Sale price", RowReason.CONTENT_DROPPED, message)
            has_sale = False
        column = "Sale price" if has_sale else "Regular price"
        if not record[column] and record["Price"]:
            column = "Price"
        if not record[column]:
            message = "the variant has no price and cannot be bought; a product without any is a draft"
            findings.warn(record, column, RowReason.MISSING_VALUE, message)
            return None, None
        price = findings.needed(record, column, lambda text: cells.amount(text, self._currency, layout.decimal_comma))
        if not has_sale:
            return price, None
        return price, former_price(findings, record, "Regular price", price, self._currency, layout.decimal_comma)

    def _stock(self, record: Record, head: Record, *, gets_shared: bool) -> tuple[int | None, StockPolicy]:
        """How many there are, and when it can be bought."""
        findings = self._findings
        column = "Stock"
        source = record
        shared = record is not head and record[column].casefold() == "parent"
        if shared:
            source = head
            if not gets_shared:
                message = "the stock is shared; the first variation has all of it, and this one none"
                findings.warn(record, column, RowReason.CONTENT_DROPPED, message)
        in_stock = source["In stock?"].casefold()
        if not source[column] or source[column].casefold() == "parent":
            if in_stock in ("0", "no", "false", "outofstock"):
                return 0, StockPolicy.TRACKED
            if in_stock in ("backorder", "onbackorder"):
                return 0, StockPolicy.CONTINUE
            return None, StockPolicy.UNTRACKED
        quantity = findings.wanted(source, column, cells.quantity, None)
        if shared and not gets_shared:
            quantity = 0
        backorders = source["Backorders allowed?"].casefold() in ("1", "yes", "notify", "true")
        return quantity, StockPolicy.CONTINUE if backorders else StockPolicy.TRACKED

    def _addresses(self, record: Record) -> list[str]:
        parts = cells.addresses(record["Images"])
        found = [self._findings.part(record, "Images", part, cells.address, "") for part in parts]
        return [url for url in found if url]

    def _show(self, head: Record) -> None:
        for url in self._addresses(head):
            self._pictures.add(url, 0, "")

    def _description(self, head: Record) -> str:
        texts = [_lines(head[column]) for column in ("Short description", "Description") if head[column]]
        return body(self._findings, head, "Description", "\n".join(texts))

    def _category(self, head: Record) -> str:
        paths = [path for part in _COMMA.split(self._findings.clean(head, "Categories")) if (path := part.strip())]
        if not paths:
            return ""
        if len(paths) > 1:
            message = f"a product has one category here; it keeps '{paths[0][:60]}'"
            self._findings.warn(head, "Categories", RowReason.CONTENT_DROPPED, message)
        return paths[0].rsplit(">", 1)[-1].strip().replace("\\,", ",")[:120]

    def _attributes(self, head: Record, names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """What the product says of itself beside its options."""
        found: dict[str, tuple[str, str]] = {}
        for number in self._numbers:
            name = self._findings.text(head, f"Attribute {number} name", MAX_OPTION)
            key = name_key(name)
            if name and key not in names and key not in found and len(found) < MAX_ATTRIBUTES:
                value = self._findings.text(head, f"Attribute {number} value(s)", MAX_VALUE).replace("\\,", ",")
                if value:
                    found[key] = (name, value)
        return tuple(found.values())


def _kind(record: Record) -> tuple[str, frozenset[str]]:
    """The kind of a row, and the qualities of what it sells."""
    words = [word.strip().casefold() for word in record["Type"].split(",")]
    kinds = [word for word in words if word not in _QUALITIES]
    return (kinds[0] if kinds else ""), _QUALITIES.intersection(words)


def _lines(text: str) -> str:
    r"""A text whose line breaks the exporter wrote as \n, and a \n of its own as \\n."""
    return text.replace("\\\\n", "\0").replace("\\n", "\n").replace("\0", "\\n")
