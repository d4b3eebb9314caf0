"""A whole file at once, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from marketd.catalog.imports.claims import ClaimsInMemory
from marketd.catalog.imports.csv_file import Reading
from marketd.catalog.imports.parsed import ParsedProduct, RowError, RowReason, RowWarning
from marketd.catalog.imports.products import parse_product
from marketd.catalog.imports.tables import NO_KEY, open_table


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A whole file. `errors` and `warnings` in the order of the rows."""

    products: tuple[ParsedProduct, ...]
    errors: tuple[RowError, ...]
    rows: int
    products_rejected: int
    warnings: tuple[RowWarning, ...] = ()


def parse(file: BinaryIO, currency: str, reading: Reading | None = None) -> ParsedFile:
    """The products of a file, and its bad rows."""
    reading = reading or Reading()
    table = open_table(file, reading)
    groups: dict[str, tuple[list[tuple[int, tuple[str, ...]]], list[tuple[int, str]]]] = {}
    errors: list[RowError] = []
    for row in table.rows():
        if not row.key:
            reason = RowReason.MALFORMED_ROW if row.problem else RowReason.MISSING_VALUE
            message = row.problem or NO_KEY
            errors.append(RowError(row.number, "" if row.problem else table.layout.names[0], reason, message, ""))
            continue
        good, bad = groups.setdefault(row.key, ([], []))
        if row.problem:
            bad.append((row.number, row.problem))
        else:
            good.append((row.number, row.cells))
    products: list[ParsedProduct] = []
    warnings: list[RowWarning] = []
    claims = ClaimsInMemory()
    for handle, (good, bad) in groups.items():
        reading.step()
        parsed = parse_product(table.layout, handle, good, bad, currency, claims)
        errors += parsed.errors
        warnings += parsed.warnings
        if parsed.product is not None:
            products.append(parsed.product)
    errors.sort(key=lambda error: error.row)
    warnings.sort(key=lambda warning: warning.row)
    rejected = len(groups) - len(products)
    return ParsedFile(tuple(products), tuple(errors), reading.rows_read, rejected, tuple(warnings))
