"""The values of imports: how to import, how far an import is and what came of it. No tables, SQL or protobuf here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.parsed import RowError, RowReason, RowWarning

MAX_TOLD = 1000
"""So many errors and so many warnings are kept for a repeat, and told of an import that answers in one message."""


class OnError(StrEnum):
    """What one bad row does to the others; the values are those of the contract without the prefix."""

    REJECT_ROWS = "REJECT_ROWS"
    REJECT_ALL = "REJECT_ALL"


class Severity(StrEnum):
    """Whether something kept rows out, or was only passed over; the values are those of the contract."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import. `seller_id` None: the caller's own; the rest is that of the contract."""

    seller_id: UUID | None = None
    dry_run: bool = False
    publish: bool = False
    update_existing: bool = False
    on_error: OnError = OnError.REJECT_ROWS


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is; totals are 0, and the time left None, until they are known."""

    rows_read: int
    rows_total: int
    products_done: int
    products_total: int
    remaining_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """All that was told of rows for one reason in one column; `example` is what was told of `first_row`."""

    severity: Severity
    reason: RowReason
    column: str
    count: int
    first_row: int
    example: str


@dataclass(frozen=True, slots=True)
class UnusedColumn:
    """A column that holds something and was not used."""

    name: str
    filled_rows: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What came of an import. The five counts of rows by what came of them add up to `rows`."""

    format: FileFormat
    dry_run: bool
    products_created: int
    products_updated: int
    products_unchanged: int
    products_rejected: int
    rows: int
    rows_created: int
    rows_updated: int
    rows_unchanged: int
    rows_warned: int
    rows_rejected: int
    variants: int
    images: int
    categories_created: int
    brands_created: int
    reasons: tuple[ReasonCount, ...]
    unused_columns: tuple[UnusedColumn, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """A summary, and the first MAX_TOLD errors and warnings of rows, in the order in which they were told."""

    summary: ImportSummary
    errors: tuple[RowError, ...]
    warnings: tuple[RowWarning, ...]


ImportEvent: TypeAlias = ImportProgress | RowError | RowWarning | ImportSummary
