"""Importing a file: its rows are spooled to disk off the event loop, then its products come in by batches, each in a
transaction of its own, while the next ones are read.

Every batch may run twice and every file may come twice: a product is found again by (seller, handle), so what was done
before an interruption counts as unchanged afterwards. Imports of one seller wait for each other, batch by batch.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, BinaryIO, TypeVar
from uuid import UUID

from marketd.catalog.errors import ImportRowsInvalid
from marketd.catalog.imports.batch import BatchOutcome, Import, run_batch
from marketd.catalog.imports.csv_file import Reading
from marketd.catalog.imports.pace import Pace
from marketd.catalog.imports.parsed import RowError, RowReason
from marketd.catalog.imports.source import FileThread, Piece, Source
from marketd.catalog.imports.tally import Tally, Told
from marketd.catalog.imports.upload import Upload
from marketd.catalog.imports.values import (
    ImportEvent,
    ImportOptions,
    ImportProgress,
    ImportReport,
    ImportSummary,
    OnError,
)
from marketd.catalog.owners import seller_for
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.seller.errors import SellerClosed
from marketd.seller.values import Seller

TICK_SECONDS = 0.9
MAX_NAMED = 20

T = TypeVar("T")


async def seller_to_import_for(unit: ReadUnit, caller: Caller, options: ImportOptions) -> Seller:
    """The seller to import for. Raises NotFound, ValidationFailed, and SellerClosed when it may not have products."""
    seller = await seller_for(unit, caller, options.seller_id, "options.seller_id")
    if seller.state.is_over or (options.publish and not seller.sells):
        raise SellerClosed(seller.seller_id, over=seller.state.is_over)
    return seller


async def import_products(
    tx: Transactor,
    caller: Caller,
    file: BinaryIO | bytes,
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
    told = Told()
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    async with aclosing(
        run_import(tx, seller.seller_id, source, options, currency=currency, on_change=on_change)
    ) as events:
        async for event in events:
            told.add(event)
            if isinstance(event, ImportProgress):
                on_progress(event)
    return told.report()


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
    while turn.locked():
        yield ImportProgress(0, 0, 0, 0)
        try:
            await asyncio.wait_for(turn.acquire(), TICK_SECONDS)
        except TimeoutError:
            continue
        turn.release()
        break
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
    ImportFileInvalid for what is no such file, and ImportRowsInvalid with REJECT_ALL when there are bad rows, behind
    them and before anything is changed.
    """
    reading = Reading()
    source = Source(file, currency, reading)
    with FileThread(source, reading) as thread:
        waiting = _Waiting(thread.do(source.read_rows))
        while await waiting.tick():
            yield ImportProgress(reading.rows_read, 0, 0, 0)
        waiting.result()
        run = _Run(thread, source, reading, dry_run=options.dry_run)
        if options.on_error is OnError.REJECT_ALL:
            async with aclosing(run.check()) as events:
                async for event in events:
                    yield event
        work = Import(
            tx,
            seller_id,
            options,
            currency,
            source.layout,
            lambda handles: thread.do(lambda: source.coming_in(handles)),
            on_change,
        )
        async with aclosing(run.import_with(work)) as events:
            async for event in events:
                yield event


class _Run:
    """An import whose rows are spooled."""

    def __init__(self, thread: FileThread, source: Source, reading: Reading, *, dry_run: bool) -> None:
        self._thread = thread
        self._source = source
        self._dry_run = dry_run
        self._rows = reading.rows_read
        self._tally = Tally()
        self._pace = Pace()
        self._has_givers = False

    async def check(self) -> AsyncGenerator[ImportEvent, None]:
        """Look at all rows, telling the bad ones; raises ImportRowsInvalid when there are any."""
        rows = 0
        first: list[RowError] = []
        while True:
            waiting = _Waiting(self._thread.do(self._source.next_piece))
            while await waiting.tick():
                yield self._progress()
            piece = waiting.result()
            if piece is None:
                break
            rows += piece.rows_rejected
            # A row that only goes down with another of its product is no reason.
            causes = [error for error in piece.errors if error.reason is not RowReason.PRODUCT_REJECTED]
            first += causes[: MAX_NAMED - len(first)]
            for error in piece.errors:
                yield error
        if first:
            named = [f"row {e.row}{f', {e.column}' if e.column else ''}: {e.message}" for e in first]
            raise ImportRowsInvalid(rows, first[0].row, first[0].column, first[0].message, named)
        await self._thread.do(self._source.rewind)

    async def import_with(self, work: Import) -> AsyncGenerator[ImportEvent, None]:
        """Bring the products in; gives the summary at the end."""
        yield self._progress()
        for remark in self._source.remarks:
            self._tally.remark(remark)
            yield remark
        reading = _Waiting(self._thread.do(self._source.next_piece))
        try:
            while True:
                while await reading.tick():
                    yield self._progress()
                piece = reading.result()
                if piece is None:
                    break
                reading = _Waiting(self._thread.do(self._source.next_piece))
                async with aclosing(self._bring(work, piece)) as events:
                    async for event in events:
                        yield event
                yield self._progress()
        finally:
            reading.leave()
        yield await self._summary(work)

    async def _bring(self, work: Import, piece: Piece) -> AsyncGenerator[ImportEvent, None]:
        self._tally.refuse(piece.errors, piece.rows_rejected, piece.products_rejected)
        for error in piece.errors:
            yield error
        if not piece.coming:
            return
        gave: frozenset[str] = frozenset()
        if self._has_givers:
            handles = [item.product.handle for item in piece.coming]
            gave = await self._thread.do(lambda: self._source.spool.gave(handles))
        running = _Waiting(asyncio.ensure_future(run_batch(work, piece.coming, gave)))
        while await running.tick():
            yield self._progress()
        outcome = running.result()
        await self._note(outcome)
        for product, came, warnings in outcome.taken:
            self._tally.take(product, came, warnings)
            for warning in warnings:
                yield warning

    async def _note(self, outcome: BatchOutcome) -> None:
        """Remember what later batches must know; on a dry run nothing else does."""
        spool = self._source.spool
        if outcome.gave:
            self._has_givers = True
            await self._thread.do(lambda: spool.note_gave(outcome.gave))
        if outcome.brands:
            await self._thread.do(lambda: spool.note_made("brand", outcome.brands))
        if outcome.categories:
            await self._thread.do(lambda: spool.note_made("category", outcome.categories))

    def _progress(self) -> ImportProgress:
        done = self._tally.products
        remaining = self._pace.remaining_seconds(time.monotonic(), self._tally.rows, self._rows)
        return ImportProgress(self._rows, self._rows, done, self._source.spool.products, remaining)

    async def _summary(self, work: Import) -> ImportSummary:
        spool = self._source.spool
        brands = await self._thread.do(lambda: spool.made("brand"))
        categories = await self._thread.do(lambda: spool.made("category"))
        return self._tally.summary(
            work.layout.format,
            self._source.unused,
            dry_run=self._dry_run,
            brands_created=brands,
            categories_created=categories,
        )


class _Waiting:
    """Something that runs while its caller says every now and then that it still does."""

    def __init__(self, work: Awaitable[T]) -> None:
        self._task: asyncio.Future[Any] = asyncio.ensure_future(work)

    async def tick(self) -> bool:
        """Wait a moment; whether it still runs. A caller that is cancelled meanwhile cancels it."""
        try:
            await asyncio.wait((self._task,), timeout=TICK_SECONDS)
        except asyncio.CancelledError:
            self.leave()
            raise
        return not self._task.done()

    def leave(self) -> None:
        """Nobody waits for it any more, nor for what it would raise."""
        self._task.cancel()
        if self._task.done() and not self._task.cancelled():
            self._task.exception()

    def result(self) -> Any:
        """What it gave."""
        return self._task.result()
