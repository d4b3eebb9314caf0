"""What a product file and its export differ in, read by Python's own csv and not by ours."""

from __future__ import annotations

import csv
import html
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

Cells = Mapping[str, str]


def read_csv(data: bytes) -> list[dict[str, str]]:
    """The rows of a file in UTF-8."""
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


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
REWRITTEN: Final[Mapping[str, tuple[str, Callable[[str, str], bool]]]] = {
    "Variant Price": ("the same amount with all of its decimals", lambda a, b: Decimal(a) == Decimal(b)),
    "Variant Compare At Price": ("the same amount with all of its decimals", lambda a, b: Decimal(a) == Decimal(b)),
    "Tags": ("the same tags in order of the alphabet", _same_tags),
    "Body (HTML)": (
        "the same text, cleaned: no blanks around it, special blanks by name",
        lambda a, b: html.unescape(a).strip() == html.unescape(b),
    ),
}
"""Columns whose cells the export may write in another way, which way, and whether two cells say the same."""


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
            if (a := was.get(column)) != (b := now.get(column)):
                _judge(found, number, column, a, b)
    return found


def _judge(found: Comparison, number: int, column: str, before: str | None, after: str | None) -> None:
    if after is None:
        reason = NOT_TAKEN.get(column, "for another site's advertisements" if column.startswith(ADVERTISING) else "")
    elif before is None:
        reason = ADDED.get(column, "")
    else:
        reason, same = REWRITTEN.get(column, ("", lambda a, b: False))
        reason = reason if before and after and same(before, after) else ""
    if reason:
        found.listed[column, reason] += 1
    else:
        found.faults.append(f"row {number}, {column}: {after!r} instead of {before!r}")
