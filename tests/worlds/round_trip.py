"""What a product file and its export differ in, read by Python's own csv and not by ours."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

Cells = Mapping[str, str]


def read_csv(data: bytes) -> list[dict[str, str]]:
    """The rows of a file in UTF-8."""
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


_FRAME = re.compile("<iframe[^>]*></iframe>")


def _is_same_number(before: str, after: str) -> bool:
    return bool(before and after) and Decimal(before) == Decimal(after)


def _same_tags(before: str, after: str) -> bool:
    return sorted(tag.strip() for tag in before.split(",")) == after.split(", ")


NOT_TAKEN: Final = {
    "Variant Fulfillment Service": "couriers of the marketplace bring the goods",
    "Variant Taxable": "taxes follow the category",
    "Variant Tax Code": "taxes follow the category",
    "Variant Weight Unit": "it only says how another shop shows the grams",
    "SEO Title": "there is no page for search engines",
    "SEO Description": "there is no page for search engines",
}
"""Columns of other shops that imports do not read, and why; so are those of ADVERTISING."""
ADVERTISING: Final = "Google Shopping / "
ADDED: Final = {"Status": "the file left it out; the export always says it"}
_CLEANED = "the same text, cleaned: no embedded pages, no blanks around it, special blanks by name"
_AMOUNT = "the same amount with all of its decimals"
REWRITTEN: Final[Sequence[tuple[str, str, Callable[[Cells, str, str], bool]]]] = (
    ("Variant Price", _AMOUNT, lambda row, a, b: _is_same_number(a, b)),
    ("Variant Compare At Price", _AMOUNT, lambda row, a, b: _is_same_number(a, b)),
    (
        "Variant Compare At Price",
        "left out, for it is not above the price",
        lambda row, a, b: b == "" and Decimal(a) <= Decimal(row["Variant Price"]),
    ),
    ("Variant Inventory Qty", "none are left", lambda row, a, b: b == "0" and Decimal(a) < 0),
    ("Variant SKU", "an earlier variant has it", lambda row, a, b: b == ""),
    ("Tags", "the same tags in order of the alphabet", lambda row, a, b: _same_tags(a, b)),
    ("Body (HTML)", _CLEANED, lambda row, a, b: html.unescape(_FRAME.sub("", a)).strip() == html.unescape(b)),
)
"""Cells that the export may write in another way: column, why, and whether the two say so."""


@dataclass
class Comparison:
    """Cells that differ. listed: by column and reason, how many. faults: in sentences."""

    listed: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The list for people."""
        return [f"{column}: {count} cells: {reason}" for (column, reason), count in self.listed.items()]


def compare(file: bytes, export: bytes) -> Comparison:
    """Hold the export of a shop against the file that filled it, row by row and cell by cell."""
    found = Comparison()
    before, after = read_csv(file), read_csv(export)
    if len(before) != len(after):
        found.faults.append(f"{len(after)} rows instead of {len(before)}")
    for number, (was, now) in enumerate(zip(before, after, strict=False), 2):
        for column in {**was, **now}:
            if was.get(column) != now.get(column):
                _judge(found, number, column, was, now)
    return found


def _judge(found: Comparison, number: int, column: str, row: Cells, now: Cells) -> None:
    before, after = row.get(column), now.get(column)
    if after is None:
        reason = NOT_TAKEN.get(column, "for another site's advertisements" if column.startswith(ADVERTISING) else "")
    elif before is None:
        reason = ADDED.get(column, "")
    else:
        reasons = (why for name, why, holds in REWRITTEN if name == column and before and holds(row, before, after))
        reason = next(reasons, "")
    if reason:
        found.listed[column, reason] += 1
    else:
        found.faults.append(f"row {number}, {column}: {after!r} instead of {before!r}")
