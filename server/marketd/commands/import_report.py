"""What came of an import, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console

from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.parsed import RowError, RowReason, RowWarning
from marketd.catalog.imports.values import ImportOptions, ImportReport, ImportSummary, ReasonCount, Severity

MOST_ROWS_SHOWN = 10
"""So many rows of a reason are listed."""


def as_json(report: ImportReport) -> dict[str, Any]:
    """The report with the names of the contract."""
    return {
        **asdict(report.summary),
        "row_errors": [asdict(error) for error in report.errors],
        "row_warnings": [asdict(warning) for warning in report.warnings],
    }


def print_report(console: Console, report: ImportReport, options: ImportOptions) -> None:
    """What a person has to mend first, then what was passed over, the counts, and what else could be wanted."""
    summary = report.summary
    refused = [told for told in summary.reasons if told.severity is Severity.ERROR]
    passed = [told for told in summary.reasons if told.severity is Severity.WARNING]
    if refused:
        _line(console, f"Refused ({many(summary.rows_rejected, 'row')}):")
        _groups(console, refused, report.errors)
    if passed:
        _line(
            console,
            f"{'Would come' if summary.dry_run else 'Came'} in with a warning ({many(summary.rows_warned, 'row')}):",
        )
        _groups(console, passed, report.warnings)
    if summary.unused_columns:
        _line(console, "Columns that were not used:")
        for column in summary.unused_columns:
            _line(console, f"  {column.name}: filled in {many(column.filled_rows, 'row')}")
    for line in [*counts(summary), *hints(summary, options)]:
        _line(console, line)


def counts(summary: ImportSummary) -> list[str]:
    """The counts, in three lines."""
    made = _list(
        (many(summary.brands_created, "brand"), summary.brands_created),
        (many(summary.categories_created, "category"), summary.categories_created),
    )
    return [
        f"{'Would import' if summary.dry_run else 'Imported'} {_NAMES[summary.format]}: "
        f"{many(_came_in(summary), 'product')} with {many(summary.variants, 'variant')} and "
        f"{many(summary.images, 'picture')}{f'; new: {made}' if made else ''}.",
        f"Products: {summary.products_created} created, {summary.products_updated} updated, "
        f"{summary.products_unchanged} unchanged, {summary.products_rejected} refused.",
        f"Rows: {summary.rows} = {summary.rows_created} created, {summary.rows_updated} updated, "
        f"{summary.rows_unchanged} unchanged, {summary.rows_warned} with a warning, {summary.rows_rejected} refused.",
    ]


def hints(summary: ImportSummary, options: ImportOptions) -> list[str]:
    """What looks as if nothing had happened, and how to have it otherwise."""
    said = []
    if not summary.rows:
        said.append("The file has a header and no rows.")
    if summary.products_unchanged and not options.update_existing:
        said.append(
            "Products that are there already stay as they are; with --update-existing they become what the file says."
        )
    if summary.products_created and not options.publish:
        said.append(
            "New products would be drafts; with --publish what the file has on sale is on sale here."
            if summary.dry_run
            else "New products are drafts; --publish --update-existing puts on sale what the file has on sale."
        )
    return said


_NAMES = {FileFormat.SHOPIFY: "a Shopify file", FileFormat.WOOCOMMERCE: "a WooCommerce file"}


def _came_in(summary: ImportSummary) -> int:
    return summary.products_created + summary.products_updated + summary.products_unchanged


def _groups(console: Console, groups: Iterable[ReasonCount], told: Iterable[RowError | RowWarning]) -> None:
    rows: dict[tuple[RowReason, str], list[int]] = {}
    for one in told:
        rows.setdefault((one.reason, one.column), []).append(one.row)
    for group in groups:
        column = f", {group.column}" if group.column else ""
        kept = sorted(set(rows.get((group.reason, group.column), [group.first_row])))
        listed = ", ".join(str(row) for row in kept[:MOST_ROWS_SHOWN])
        more = ", …" if group.count > MOST_ROWS_SHOWN else ""
        where = f"{'row' if len(kept) == 1 else 'rows'} {listed}{more}"
        _line(console, f"  {group.reason.value}{column}: {many(group.count, 'time')} ({where})")
        _line(console, f"      {group.example}")


def many(count: int, name: str) -> str:
    """So many of something, in words."""
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{count} {name if count == 1 else plural}"


def _list(*parts: tuple[str, int]) -> str:
    return " and ".join(text for text, count in parts if count)


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
