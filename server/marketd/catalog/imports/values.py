"""The values of imports: how to import, how far an import is and what came of it. No tables, SQL or protobuf here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from marketd.catalog.imports.parsed import RowError, RowWarning


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import. `seller_id` None: the caller's own; the flags are those of the contract."""

    seller_id: UUID | None = None
    dry_run: bool = False
    publish: bool = False
    update_existing: bool = False
    stop_on_error: bool = False


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is; totals are 0 until they are known."""

    rows_read: int
    rows_total: int
    products_done: int
    products_total: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What came of an import."""

    products_created: int
    products_updated: int
    products_unchanged: int
    products_rejected: int
    variants: int
    images: int
    rows: int
    rows_rejected: int
    categories_created: int
    brands_created: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ImportReport:
    """A summary, the rows that were not imported and what was passed over in others, in the order of the file."""

    summary: ImportSummary
    errors: tuple[RowError, ...]
    warnings: tuple[RowWarning, ...]


ImportEvent: TypeAlias = ImportProgress | RowError | RowWarning | ImportSummary
