"""The rows of one product of an import file into that product, whatever the format. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.catalog.imports import shopify, woocommerce
from marketd.catalog.imports.findings import Findings, Record
from marketd.catalog.imports.header import FileFormat, Layout
from marketd.catalog.imports.parsed import Parsed, RowError, RowReason, rejected_rows
from marketd.catalog.imports.skus import Claims, with_claimed_skus

_READERS = {
    FileFormat.SHOPIFY: (shopify.read_product, "Variant SKU"),
    FileFormat.WOOCOMMERCE: (woocommerce.read_product, "SKU"),
}


def parse_product(
    layout: Layout,
    handle: str,
    rows: Sequence[tuple[int, tuple[str, ...]]],
    problems: Sequence[tuple[int, str]],
    currency: str,
    claims: Claims,
) -> Parsed:
    """The product of all rows that have `handle` as their key.

    rows: their numbers and cells in the order of the file, those of `problems` (number, problem) not among them; one of
    the two is not empty. Prices are in the marketplace's currency; files name none. Call it in the order in which the
    products begin in the file, so that of several variants with one SKU the first gets it.
    """
    read, sku_column = _READERS[layout.format]
    findings = Findings(layout, handle)
    findings.errors += [RowError(row, "", RowReason.MALFORMED_ROW, problem, handle) for row, problem in problems]
    numbers = tuple(sorted([number for number, _ in rows] + [number for number, _ in problems]))
    records = [Record(number, cells, layout.places) for number, cells in rows]
    product = read(layout, handle, records, numbers, currency, findings) if records else None
    if product is None or findings.errors:
        return Parsed(None, tuple(rejected_rows(handle, numbers, findings.errors)), ())
    product = with_claimed_skus(product, claims, findings, sku_column, layout.places)
    return Parsed(product, (), tuple(sorted(findings.warnings, key=lambda warning: warning.row)))
