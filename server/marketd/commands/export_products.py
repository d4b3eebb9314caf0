"""`marketd export-products`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from marketd.catalog.exports.run import export_products
from marketd.catalog.exports.values import ExportHeader, ExportOptions, ExportSummary
from marketd.catalog.model import ProductState
from marketd.commands.database import database_of
from marketd.commands.import_report import many
from marketd.commands.settings import CONFIGURATION_ERROR, fail_line, read_settings, refuse
from marketd.commands.shops import NoSuchShop, seller_id_of
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock

_STANDARD_OUTPUT = Path("-")


def command(
    seller: Annotated[str, typer.Option(help="The seller's handle or id.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; - is standard output.", dir_okay=False)
    ] = _STANDARD_OUTPUT,
    state: Annotated[
        list[ProductState] | None,
        typer.Option(help="Only products in this state; several may be named.", case_sensitive=False),
    ] = None,
) -> None:
    """Export a seller's products as a Shopify CSV, straight from the database.

    What is written is what import-products reads: into an empty shop it makes the same products, into the same shop it
    changes nothing. A file is there whole or not at all. What it held stands on standard error.
    """
    settings = read_settings()
    with database_of(settings) as url, _file(output) as file:
        try:
            summary = asyncio.run(_export(url, file, seller, tuple(state or ())))
        except NoSuchShop as nobody:
            refuse("seller", seller, str(nobody))
    _say(summary)


async def _export(url: str, file: BinaryIO, seller: str, states: tuple[ProductState, ...]) -> ExportSummary:
    engine = create_engine(url, pool_size=2)
    tx = Transactor(engine, SystemClock())
    try:
        options = ExportOptions(await seller_id_of(tx, seller), states)
        screen = Console(stderr=True)
        columns = (TextColumn("{task.description}"), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
            task = progress.add_task("Products", total=None)
            async with aclosing(export_products(tx, SYSTEM, options)) as events:
                async for event in events:
                    match event:
                        case bytes():
                            file.write(event)
                            progress.update(task, advance=len(event))
                        case ExportSummary():
                            return event
                        case ExportHeader():
                            pass
        raise RuntimeError("an export ended without a summary")
    finally:
        await engine.dispose()


@contextmanager
def _file(output: Path) -> Iterator[BinaryIO]:
    """What to write to. A file takes its name only when all of it is there."""
    if output == _STANDARD_OUTPUT:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Whoever reads has read enough; what is left to flush at the end goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except OSError as error:
        if error.filename not in (str(part), part):
            raise
        fail_line(f"{output} cannot be written: {error.strerror}.")
        raise typer.Exit(CONFIGURATION_ERROR) from None
    finally:
        part.unlink(missing_ok=True)


def _say(summary: ExportSummary) -> None:
    fail_line(
        f"exported {many(summary.products, 'product')}, {many(summary.variants, 'variant')} and"
        f" {many(summary.images, 'picture')} in {many(summary.rows, 'row')}; {summary.size} bytes,"
        f" SHA-256 {summary.sha256}."
    )
    if summary.variants_left_out:
        fail_line(f"Not in the file, because not for sale: {many(summary.variants_left_out, 'variant')}.")
    if summary.products_left_out:
        named = ", ".join(summary.left_out_handles)
        more = ", …" if summary.products_left_out > len(summary.left_out_handles) else ""
        fail_line(
            f"Not in the file, because of more than three options: {many(summary.products_left_out, 'product')}"
            f" ({named}{more})."
        )
