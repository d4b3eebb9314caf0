"""The rows of one product of an import file into that product. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.catalog.imports import shopify, woocommerce
from marketd.catalog.imports.claims import Claims
from marketd.catalog.imports.header import FileFormat, Layout
from marketd.catalog.imports.parsed import Parsed


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
    if layout.format is FileFormat.WOOCOMMERCE:
        return woocommerce.parse_product(layout, handle, rows, problems, currency, claims)
    return shopify.parse_product(layout, handle, rows, problems, currency, claims)
