"""`marketd import-products`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress

from marketd.catalog.imports.run import import_products
from marketd.catalog.imports.values import ImportOptions, ImportProgress, ImportReport
from marketd.commands.database import database_of
from marketd.commands.settings import read_settings, refuse
from marketd.config import Settings
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock
from marketd.seller.sellers import get_seller

MOST_ROWS_SHOWN = 50


def command(
    file: Annotated[Path, typer.Argument(help="A Shopify product export (CSV).", exists=True, dir_okay=False)],
    seller: Annotated[str, typer.Option(help="The seller's handle or id.")],
    publish: Annotated[bool, typer.Option("--publish", help="Publish what is imported.")] = False,
    update_existing: Annotated[
        bool, typer.Option("--update-existing", help="Change products that are there already; else they stay.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
) -> None:
    """Import a seller's products from a Shopify CSV, straight into the database.

    Rows that cannot be imported are listed with their number and reason; the rest goes in. Exits 0 when every row did,
    1 when some did not, 2 when nothing could be imported. Running servers show the products within a second.
    """
    settings = read_settings()
    with database_of(settings) as url:
        try:
            report = asyncio.run(
                _import(settings, url, file, seller, publish=publish, update=update_existing, dry_run=dry_run)
            )
        except NotFound as nobody:
            refuse("seller", seller, nobody.message)
    _show(report)
    raise typer.Exit(1 if report.errors else 0)


async def _import(
    settings: Settings, url: str, file: Path, seller: str, *, publish: bool, update: bool, dry_run: bool
) -> ImportReport:
    engine = create_engine(url, pool_size=4)
    tx = Transactor(engine, SystemClock())
    try:
        seller_id = await _seller_id(tx, seller)
        options = ImportOptions(seller_id=seller_id, dry_run=dry_run, publish=publish, update_existing=update)
        screen = Console(stderr=True)
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            task = progress.add_task("Products", total=None)

            def on_progress(seen: ImportProgress) -> None:
                progress.update(task, completed=seen.products_done, total=seen.products_total or None)

            return await import_products(
                tx,
                SYSTEM,
                await asyncio.to_thread(file.read_bytes),
                options,
                currency=settings.currency,
                on_progress=on_progress,
            )
    finally:
        await engine.dispose()


async def _seller_id(tx: Transactor, seller: str) -> UUID:
    with suppress(ValueError):
        return UUID(seller)
    return (await tx.read(lambda unit: get_seller(unit, SYSTEM, seller))).seller_id


def _show(report: ImportReport) -> None:
    console = Console(soft_wrap=True)
    summary = report.summary
    for error in report.errors[:MOST_ROWS_SHOWN]:
        console.print(f"row {error.row}{f', {error.column}' if error.column else ''}: {error.message}", markup=False)
    if len(report.errors) > MOST_ROWS_SHOWN:
        console.print(f"… and {len(report.errors) - MOST_ROWS_SHOWN} more rows.")
    for warning in report.warnings[:MOST_ROWS_SHOWN]:
        console.print(f"row {warning.row}, {warning.column}: {warning.message}", markup=False)
    if len(report.warnings) > MOST_ROWS_SHOWN:
        console.print(f"… and {len(report.warnings) - MOST_ROWS_SHOWN} more rows with something left out.")
    console.print(
        f"{'Would import' if summary.dry_run else 'Imported'}: {summary.products_created} products created, "
        f"{summary.products_updated} updated, {summary.products_unchanged} unchanged, "
        f"{summary.products_rejected} rejected; {summary.variants} variants, {summary.images} images; "
        f"{summary.rows} rows, {summary.rows_rejected} of them rejected."
    )
