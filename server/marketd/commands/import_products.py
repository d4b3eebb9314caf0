"""`marketd import-products`."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from marketd.catalog.errors import ImportRowsInvalid
from marketd.catalog.imports.run import import_products
from marketd.catalog.imports.values import ImportOptions, ImportProgress, ImportReport, OnError
from marketd.commands.database import database_of
from marketd.commands.import_report import as_json, print_report
from marketd.commands.settings import fail_line, read_settings, refuse, say
from marketd.commands.shops import NoSuchShop, seller_id_of
from marketd.config import Settings
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock
from marketd.seller.errors import SellerClosed

ROWS_REFUSED = 1


class OnErrorOption(StrEnum):
    """OnError as options are written."""

    REJECT_ROWS = "reject-rows"
    REJECT_ALL = "reject-all"


def command(
    file: Annotated[
        Path, typer.Argument(help="A product export of Shopify or WooCommerce (CSV).", exists=True, dir_okay=False)
    ],
    seller: Annotated[str, typer.Option(help="The seller's handle or id.")],
    publish: Annotated[bool, typer.Option("--publish", help="Publish what the file says is published.")] = False,
    update_existing: Annotated[
        bool, typer.Option("--update-existing", help="Change products that are there already; else they stay.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    on_error: Annotated[
        OnErrorOption, typer.Option(help="Leave products with bad rows out, or then bring nothing in.")
    ] = OnErrorOption.REJECT_ROWS,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Import a seller's products from a shop's CSV, straight into the database.

    What was refused comes first, by reason, then warnings, columns that were not used, and the counts. Exits 0 when
    everything came in, with warnings or without, 1 when rows were refused, 2 for what is no such file. Running servers
    show the products within a second.
    """
    settings = read_settings()
    with database_of(settings) as url:
        options = ImportOptions(None, dry_run, publish, update_existing, OnError[on_error.name])
        try:
            report = asyncio.run(_import(settings, url, file, seller, options))
        except NoSuchShop as nobody:
            refuse("seller", seller, str(nobody))
        except SellerClosed as closed:
            refuse("seller", seller, closed.message)
        except ImportRowsInvalid as refused:
            _say_refused(refused, json_=json_)
            raise typer.Exit(ROWS_REFUSED) from None
    if json_:
        say(json.dumps(as_json(report)))
    else:
        print_report(Console(highlight=False), report, options)
    raise typer.Exit(ROWS_REFUSED if report.summary.rows_rejected else 0)


async def _import(settings: Settings, url: str, path: Path, seller: str, options: ImportOptions) -> ImportReport:
    engine = create_engine(url, pool_size=4)
    tx = Transactor(engine, SystemClock())
    try:
        options = replace(options, seller_id=await seller_id_of(tx, seller))
        screen = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with (
            path.open("rb") as opened,
            whole(opened) as file,
            Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress,
        ):
            task = progress.add_task("reading rows", total=None, left="")

            def on_progress(seen: ImportProgress) -> None:
                if not seen.rows_total:
                    progress.update(task, completed=seen.rows_read)
                    return
                left = "" if seen.remaining_seconds is None else f"{time_left(seen.remaining_seconds)} left"
                progress.update(
                    task, description="products", completed=seen.products_done, total=seen.products_total, left=left
                )

            return await import_products(tx, SYSTEM, file, options, currency=settings.currency, on_progress=on_progress)
    finally:
        await engine.dispose()


@contextmanager
def whole(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file, or what comes out of a pipe: it is read more than once."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        yield copy


def time_left(seconds: float) -> str:
    """So many seconds as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _say_refused(refused: ImportRowsInvalid, *, json_: bool) -> None:
    """Nothing came in, because of these rows."""
    if json_:
        said = {"message": refused.message, "rows": refused.rows, "errors": [one.description for one in refused.fields]}
        say(json.dumps(said))
        return
    for violation in refused.fields:
        say(violation.description)
    if (more := refused.rows - len(refused.fields)) > 0:
        say(f"… and {more} more, some only because another row of their product is not good")
    fail_line(
        f"{refused.rows} rows cannot be imported, so nothing was changed; a dry run without reject-all tells all."
    )
