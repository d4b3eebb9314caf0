"""Counting what came of the rows of an import, and grouping what was told of them. Pure, and bounded: of errors and
warnings the first are kept, of all others only how many there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.parsed import ParsedProduct, RowError, RowReason, RowWarning
from marketd.catalog.imports.values import (
    MAX_TOLD,
    ImportEvent,
    ImportReport,
    ImportSummary,
    ReasonCount,
    Severity,
    UnusedColumn,
)

MAX_REASONS = 200
MAX_UNUSED = 200
_MAX_GROUPS = 2000
_MAX_EXAMPLE = 300
_MAX_NAME = 255


class Outcome(Enum):
    """What came of a product that was not refused."""

    CREATED = auto()
    UPDATED = auto()
    UNCHANGED = auto()


@dataclass(slots=True)
class _Group:
    count: int
    first_row: int
    example: str


class Tally:
    """What came of an import so far."""

    def __init__(self) -> None:
        self._products = dict.fromkeys(Outcome, 0)
        self._rows = dict.fromkeys(Outcome, 0)
        self._products_rejected = 0
        self._rows_rejected = 0
        self._rows_warned = 0
        self._variants = 0
        self._images = 0
        self._groups: dict[tuple[Severity, RowReason, str], _Group] = {}

    @property
    def products(self) -> int:
        """How many products are done with, whatever came of them."""
        return sum(self._products.values()) + self._products_rejected

    @property
    def rows(self) -> int:
        """How many rows are done with."""
        return sum(self._rows.values()) + self._rows_warned + self._rows_rejected

    def refuse(self, errors: Iterable[RowError], rows: int, products: int) -> None:
        """So many rows, of so many products, do not come in."""
        self._rows_rejected += rows
        self._products_rejected += products
        for error in errors:
            self._group(Severity.ERROR, error)

    def take(self, product: ParsedProduct, outcome: Outcome, warnings: Iterable[RowWarning]) -> None:
        """A product is not refused."""
        warned = set()
        for warning in warnings:
            warned.add(warning.row)
            self._group(Severity.WARNING, warning)
        self._products[outcome] += 1
        self._rows[outcome] += len(product.rows) - len(warned)
        self._rows_warned += len(warned)
        self._variants += len(product.variants)
        self._images += len(product.images)

    def remark(self, warning: RowWarning) -> None:
        """Something about the file as such; the header is no row that anything comes of."""
        self._group(Severity.WARNING, warning)

    def _group(self, severity: Severity, told: RowError | RowWarning) -> None:
        key = (severity, told.reason, told.column)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) < _MAX_GROUPS:
                self._groups[key] = _Group(1, told.row, told.message)
            return
        group.count += 1
        if told.row < group.first_row:
            group.first_row, group.example = told.row, told.message

    def summary(
        self,
        file_format: FileFormat,
        unused: Mapping[str, int],
        *,
        dry_run: bool,
        brands_created: int,
        categories_created: int,
    ) -> ImportSummary:
        """The end of it."""
        return ImportSummary(
            format=file_format,
            dry_run=dry_run,
            products_created=self._products[Outcome.CREATED],
            products_updated=self._products[Outcome.UPDATED],
            products_unchanged=self._products[Outcome.UNCHANGED],
            products_rejected=self._products_rejected,
            rows=self.rows,
            rows_created=self._rows[Outcome.CREATED],
            rows_updated=self._rows[Outcome.UPDATED],
            rows_unchanged=self._rows[Outcome.UNCHANGED],
            rows_warned=self._rows_warned,
            rows_rejected=self._rows_rejected,
            variants=self._variants,
            images=self._images,
            categories_created=categories_created,
            brands_created=brands_created,
            reasons=self._reasons(),
            unused_columns=tuple(
                UnusedColumn(name[:_MAX_NAME], filled) for name, filled in list(unused.items())[:MAX_UNUSED]
            ),
        )

    def _reasons(self) -> tuple[ReasonCount, ...]:
        counts = [
            ReasonCount(
                severity, reason, column[:_MAX_NAME], group.count, group.first_row, group.example[:_MAX_EXAMPLE]
            )
            for (severity, reason, column), group in self._groups.items()
        ]
        # What a person has to mend comes first; rows that only go down with their product say nothing new.
        counts.sort(
            key=lambda one: (
                one.severity is Severity.WARNING,
                one.reason is RowReason.PRODUCT_REJECTED,
                -one.count,
                one.first_row,
            )
        )
        return tuple(counts[:MAX_REASONS])


class Told:
    """What an import has told, as far as it is told again: the first errors and warnings, and the summary."""

    def __init__(self) -> None:
        self._errors: list[RowError] = []
        self._warnings: list[RowWarning] = []
        self._summary: ImportSummary | None = None

    def add(self, event: ImportEvent) -> None:
        """The import tells this."""
        match event:
            case RowError() if len(self._errors) < MAX_TOLD:
                self._errors.append(event)
            case RowWarning() if len(self._warnings) < MAX_TOLD:
                self._warnings.append(event)
            case ImportSummary():
                self._summary = event
            case _:
                pass

    def report(self) -> ImportReport:
        """All of it, once the import has ended."""
        if self._summary is None:
            raise RuntimeError("an import ended without a summary")
        return ImportReport(self._summary, tuple(self._errors), tuple(self._warnings))
