"""Importing a file: read off the event loop, then brought in by batches of products, each in a transaction of its own.

Every batch may run twice and every file may come twice: a product is found again by (seller, Handle), so what was done
before an interruption counts as unchanged afterwards. Imports of one seller wait for each other, batch by batch.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import Any, BinaryIO, TypeVar
from uuid import UUID

from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports import whole
from marketd.catalog.imports.batch import BatchOutcome, run_batch
from marketd.catalog.imports.csv_file import Reading
from marketd.catalog.imports.parsed import ParsedProduct, RowError, RowReason, RowWarning
from marketd.catalog.imports.upload import Upload
from marketd.catalog.imports.values import ImportEvent, ImportOptions, ImportProgress, ImportReport, ImportSummary
from marketd.catalog.imports.whole import ParsedFile
from marketd.catalog.owners import seller_for
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.seller.errors import SellerClosed
from marketd.seller.values import Seller

BATCH = 50
BATCH_VARIANTS = 500
TICK_SECONDS = 0.9

T = TypeVar("T")


async def seller_to_import_for(unit: ReadUnit, caller: Caller, options: ImportOptions) -> Seller:
    """The seller to import for. Raises NotFound, ValidationFailed, and SellerClosed when it may not have products."""
    seller = await seller_for(unit, caller, options.seller_id, "options.seller_id")
    if seller.state.is_over or (options.publish and not seller.sells):
        raise SellerClosed(seller.seller_id)
    return seller


async def import_products(
    tx: Transactor,
    caller: Caller,
    csv_bytes: bytes,
    options: ImportOptions,
    *,
    currency: str,
    on_progress: Callable[[ImportProgress], None] = lambda progress: None,
    on_change: Callable[[], None] = lambda: None,
) -> ImportReport:
    """Import a whole file for the caller's seller (an admin's or SYSTEM's `options.seller_id`) and report on it.

    Raises what `run_import` raises.
    """
    seller = await tx.read(lambda unit: seller_to_import_for(unit, caller, options))
    errors: list[RowError] = []
    warnings: list[RowWarning] = []
    summary: ImportSummary | None = None
    async with aclosing(
        run_import(tx, seller.seller_id, io.BytesIO(csv_bytes), options, currency=currency, on_change=on_change)
    ) as events:
        async for event in events:
            match event:
                case ImportProgress():
                    on_progress(event)
                case RowError():
                    errors.append(event)
                case RowWarning():
                    warnings.append(event)
                case ImportSummary():
                    summary = event
    if summary is None:
        raise RuntimeError("an import ended without a summary")
    return ImportReport(summary, tuple(sorted(errors, key=lambda error: error.row)), tuple(warnings))


async def import_upload(
    tx: Transactor,
    seller_id: UUID,
    upload: Upload,
    chunks: AsyncIterator[bytes],
    options: ImportOptions,
    turn: asyncio.Semaphore,
    *,
    currency: str,
    on_change: Callable[[], None],
) -> AsyncGenerator[ImportEvent, None]:
    """Receive a file whole, wait for a turn, then import it. Nothing is changed before the file is whole.

    Raises what receiving the chunks, `upload` and `run_import` raise. Close it (aclosing) when it is left early.
    """
    async with aclosing(upload.receive(chunks, TICK_SECONDS)) as ticks:
        async for _ in ticks:
            yield ImportProgress(0, 0, 0, 0)
    file = upload.whole()
    async with (
        turn,
        aclosing(run_import(tx, seller_id, file, options, currency=currency, on_change=on_change)) as events,
    ):
        async for event in events:
            yield event


async def run_import(
    tx: Transactor,
    seller_id: UUID,
    file: BinaryIO,
    options: ImportOptions,
    *,
    currency: str,
    on_change: Callable[[], None],
) -> AsyncGenerator[ImportEvent, None]:
    """Import the file, telling how far it is at least every second, each bad row, what of others is passed over, and at
    the end the summary.

    Close it (aclosing) when it is left early; the batch that runs then is finished or not begun. Raises
    ImportFileInvalid for what is no such file, and with `stop_on_error` for its first bad row before anything is
    changed (a row that turns bad only while the import runs stops it there).
    """
    reading = Reading()
    parsed = ParsedFile((), (), 0, 0)
    try:
        waiting = _Waiting(asyncio.to_thread(whole.parse, file, currency, reading))
        while await waiting.tick():
            yield ImportProgress(reading.rows_read, 0, 0, 0)
        parsed = waiting.result()
    finally:
        reading.is_stopped = True
    for error in parsed.errors:
        _stop_at(error, options)
        yield error
    for warning in parsed.warnings:
        yield warning
    total = BatchOutcome(rejected=parsed.products_rejected)
    products_total = len(parsed.products) + parsed.products_rejected
    passes = [options.dry_run] if options.dry_run or not options.stop_on_error else [True, False]
    for rehearse in passes:
        total = BatchOutcome(rejected=parsed.products_rejected)
        for batch in _batches(parsed.products):
            yield ImportProgress(parsed.rows, parsed.rows, total.done, products_total)
            running = _Waiting(run_batch(tx, seller_id, batch, options, currency, on_change, rehearse=rehearse))
            while await running.tick():
                yield ImportProgress(parsed.rows, parsed.rows, total.done, products_total)
            outcome = running.result()
            total.add(outcome)
            for error in outcome.errors:
                _stop_at(error, options)
                yield error
    yield ImportProgress(parsed.rows, parsed.rows, total.done, products_total)
    yield ImportSummary(
        products_created=total.created,
        products_updated=total.updated,
        products_unchanged=total.unchanged,
        products_rejected=total.rejected,
        variants=total.variants,
        images=total.images,
        rows=parsed.rows,
        rows_rejected=len({error.row for error in (*parsed.errors, *total.errors)}),
        categories_created=len(total.categories),
        brands_created=len(total.brands),
        dry_run=options.dry_run,
    )


class _Waiting:
    """Something that runs while its caller says every now and then that it still does."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._task: asyncio.Task[Any] = asyncio.ensure_future(work)

    async def tick(self) -> bool:
        """Wait a moment; whether it still runs. A caller that is cancelled meanwhile cancels it."""
        try:
            await asyncio.wait((self._task,), timeout=TICK_SECONDS)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        return not self._task.done()

    def result(self) -> Any:
        """What it gave."""
        return self._task.result()


def _batches(products: Sequence[ParsedProduct]) -> Iterator[Sequence[ParsedProduct]]:
    """At most BATCH products at a time, and fewer when they have many variants: planning a batch holds the loop."""
    start = variants = 0
    for place, product in enumerate(products):
        variants += len(product.variants)
        if place > start and (place - start == BATCH or variants > BATCH_VARIANTS):
            yield products[start:place]
            start, variants = place, len(product.variants)
    if start < len(products):
        yield products[start:]


def _stop_at(error: RowError, options: ImportOptions) -> None:
    if options.stop_on_error and error.reason is not RowReason.PRODUCT_REJECTED:
        raise ImportFileInvalid(error.row, error.column, error.message)
