"""Codes of variants, which of several has a SKU, and prices to cross out, alike in all formats. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from marketd.catalog.imports import cells
from marketd.catalog.imports.findings import Findings, Record
from marketd.catalog.imports.numbers import shown
from marketd.catalog.imports.parsed import ParsedProduct, RowReason
from marketd.kernel.values.texts import name_key

_ROUNDED = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]+", re.IGNORECASE)


class Claims(Protocol):
    """The SKUs of a file that are taken."""

    def claim(self, sku_key: str, handle: str, row: int) -> int | None:
        """Take the SKU for this row; gives the row that has it already, or None when it was free."""


class ClaimsInMemory:
    """Claims of a file that is small enough to remember."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def claim(self, sku_key: str, handle: str, row: int) -> int | None:
        """See Claims."""
        held = self._rows.setdefault(sku_key, row)
        return None if held == row else held


def code(findings: Findings, record: Record, column: str, most: int) -> str:
    """A SKU or another code; empty where it is too long, for half a code is another one."""
    if not record[column]:
        return ""
    found = cells.without_apostrophe(findings.clean(record, column))
    if len(found) > most:
        message = f"has {len(found)} characters and may have {most}; it is left out"
        findings.warn(record, column, RowReason.TOO_LONG, message)
        return ""
    return found


def barcode(findings: Findings, record: Record, column: str, most: int) -> str:
    """A barcode; empty where a spreadsheet has made a rounded number of it."""
    found = code(findings, record, column, most)
    if found and _ROUNDED.fullmatch(found):
        message = f"{shown(found)} is what a spreadsheet left of a barcode; it is left out"
        findings.warn(record, column, RowReason.INVALID_VALUE, message)
        return ""
    return found


def former_price(
    findings: Findings,
    record: Record,
    column: str,
    price: int | None,
    currency: str,
    decimal_comma: bool | None,
) -> int | None:
    """The price to cross out; one that is not above the price would tell buyers of a saving that there is not."""
    if not record[column]:
        return None
    former = findings.wanted(record, column, lambda text: cells.rounded_amount(text, currency, decimal_comma), None)
    if former is None or (price is not None and former > price):
        return former
    # Shops leave 0 or the price itself there and mean none.
    if price is not None:
        message = f"{shown(record[column])} is not above the price, so it is left out"
        findings.warn(record, column, RowReason.NOT_ABOVE_PRICE, message)
    return None


def with_claimed_skus(
    product: ParsedProduct, claims: Claims, findings: Findings, column: str, places: Mapping[str, int]
) -> ParsedProduct:
    """The product without the SKUs that an earlier variant of the file has: of several, the first keeps it."""
    variants = list(product.variants)
    for at, variant in enumerate(variants):
        if not variant.sku:
            continue
        holder = claims.claim(name_key(variant.sku), product.handle, variant.row)
        if holder is not None:
            message = f"row {holder} has the SKU '{variant.sku[:60]}' as well and keeps it; this variant has none"
            findings.warn(Record(variant.row, (), places), column, RowReason.DUPLICATE_SKU, message)
            variants[at] = replace(variant, sku="")
    return product if tuple(variants) == product.variants else replace(product, variants=tuple(variants))
