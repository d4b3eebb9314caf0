"""Importing a file: read off the event loop, then brought in by batches of products, each in a transaction of its own.

Every batch may run twice and every file may come twice: a product is found again by (seller, Handle), so what was done
before an interruption counts as unchanged afterwards. Imports of one seller wait for each other, batch by batch.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias, TypeVar
from uuid import UUID

from marketd.catalog import existing, planning, shopify, writing
from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.making import make_products
from marketd.catalog.parsed import ParsedFile, ParsedProduct, Reading, RowError, RowReason, rejected_rows
from marketd.catalog.planning import Changes, Existing, Names
from marketd.catalog.service import seller_for
from marketd.inventory import service as inventory
from marketd.kernel.caller import Caller
from marketd.kernel.refusals import AlreadyExists, ConcurrentUpdate
from marketd.kernel.transactor import Transactor
from marketd.kernel.uow import ReadUnit, UnitOfWork
from marketd.seller.errors import SellerClosed
from marketd.seller.model import SellerState
from marketd.seller.service import SellerView

BATCH = 50
TICK_SECONDS = 0.9
_TRIES = 3

T = TypeVar("T")


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
    """A summary and the rows that were not imported, in the order of the file."""

    summary: ImportSummary
    errors: tuple[RowError, ...]


ImportEvent: TypeAlias = ImportProgress | RowError | ImportSummary


@dataclass(slots=True)
class _Outcome:
    """What came of a batch, or of all so far."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    variants: int = 0
    images: int = 0
    brands: set[str] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)
    errors: list[RowError] = field(default_factory=list)

    def add(self, other: _Outcome) -> None:
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.rejected += other.rejected
        self.variants += other.variants
        self.images += other.images
        self.brands |= other.brands
        self.categories |= other.categories
        self.errors += other.errors

    @property
    def done(self) -> int:
        return self.created + self.updated + self.unchanged + self.rejected


class _Rehearsed(Exception):
    """Ends a batch that was only tried, so that its transaction rolls back."""

    def __init__(self, outcome: _Outcome) -> None:
        super().__init__("rehearsed")
        self.outcome = outcome


async def seller_to_import_for(unit: ReadUnit, caller: Caller, options: ImportOptions) -> SellerView:
    """The seller to import for. Raises NotFound, ValidationFailed, and SellerClosed when it may not have products."""
    seller = await seller_for(unit, caller, options.seller_id)
    if seller.state is SellerState.CLOSED or (options.publish and seller.state is not SellerState.ACTIVE):
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
                case ImportSummary():
                    summary = event
    if summary is None:
        raise RuntimeError("an import ended without a summary")
    return ImportReport(summary, tuple(sorted(errors, key=lambda error: error.row)))


async def run_import(
    tx: Transactor,
    seller_id: UUID,
    file: BinaryIO,
    options: ImportOptions,
    *,
    currency: str,
    on_change: Callable[[], None],
) -> AsyncGenerator[ImportEvent, None]:
    """Import the file, telling how far it is at least every second, each bad row, and at the end the summary.

    Close it (aclosing) when it is left early; the batch that runs then is finished or not begun. Raises
    ImportFileInvalid for what is no such file, and with `stop_on_error` for its first bad row before anything is
    changed (a row that turns bad only while the import runs stops it there).
    """
    reading = Reading()
    parsed = ParsedFile((), (), 0, 0)
    try:
        waiting = _Waiting(asyncio.to_thread(shopify.parse, file, currency, reading))
        while await waiting.tick():
            yield ImportProgress(reading.rows_read, 0, 0, 0)
        parsed = waiting.result()
    finally:
        reading.is_stopped = True
    for error in parsed.errors:
        _stop_at(error, options)
        yield error
    total = _Outcome(rejected=parsed.products_rejected)
    products_total = len(parsed.products) + parsed.products_rejected
    passes = [options.dry_run] if options.dry_run or not options.stop_on_error else [True, False]
    for rehearse in passes:
        total = _Outcome(rejected=parsed.products_rejected)
        for start in range(0, len(parsed.products), BATCH):
            yield ImportProgress(parsed.rows, parsed.rows, total.done, products_total)
            batch = parsed.products[start : start + BATCH]
            running = _Waiting(_run_batch(tx, seller_id, batch, options, currency, on_change, rehearse=rehearse))
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


def _stop_at(error: RowError, options: ImportOptions) -> None:
    if options.stop_on_error and error.reason is not RowReason.PRODUCT_REJECTED:
        raise ImportFileInvalid(error.row, error.column, error.message)


async def _run_batch(
    tx: Transactor,
    seller_id: UUID,
    products: Sequence[ParsedProduct],
    options: ImportOptions,
    currency: str,
    on_change: Callable[[], None],
    *,
    rehearse: bool,
) -> _Outcome:
    async def work(uow: UnitOfWork) -> _Outcome:
        outcome = await _import_batch(uow, seller_id, products, options, currency)
        if rehearse:
            raise _Rehearsed(outcome)
        if outcome.created or outcome.updated:
            uow.after_commit(on_change)
        return outcome

    for attempt in range(1, _TRIES + 1):
        try:
            return await tx.run_bare("catalog.import", work)
        except _Rehearsed as rehearsed:
            return rehearsed.outcome
        except (AlreadyExists, ConcurrentUpdate):
            # Somebody took a name or a SKU between our look and our insert; a fresh look sees it.
            if attempt == _TRIES:
                raise ConcurrentUpdate from None
    raise ConcurrentUpdate


async def _import_batch(
    uow: UnitOfWork, seller_id: UUID, products: Sequence[ParsedProduct], options: ImportOptions, currency: str
) -> _Outcome:
    outcome = _Outcome()
    await existing.lock_seller(uow.connection, seller_id)
    known = await _known(uow, seller_id, products)
    owners = await existing.read_sku_owners(
        uow.connection, seller_id, [variant.sku for parsed in products for variant in parsed.variants if variant.sku]
    )
    touched = [parsed for parsed in products if options.update_existing or parsed.handle not in known]
    matches = {
        parsed.handle: planning.matched(parsed, known[parsed.handle]) for parsed in touched if parsed.handle in known
    }
    stocks = await inventory.lock_stocks(
        uow, [record.variant_id for found in matches.values() for record in found if record is not None]
    )
    good: list[ParsedProduct] = []
    for parsed in touched:
        errors = _sku_errors(parsed, known.get(parsed.handle), owners)
        if parsed.handle in matches:
            errors += planning.reserved_errors(parsed, matches[parsed.handle], stocks)
        if errors:
            outcome.rejected += 1
            outcome.errors += rejected_rows(parsed.handle, parsed.rows, errors)
        else:
            good.append(parsed)
    names = await _names(uow, good, outcome)
    new = [
        planning.plan_new(parsed, seller_id, currency, names, publish=options.publish, now=uow.now)
        for parsed in good
        if parsed.handle not in known
    ]
    changed = [
        changes
        for parsed in good
        if parsed.handle in known
        and (
            changes := planning.plan_changes(
                parsed, known[parsed.handle], stocks, names, publish=options.publish, now=uow.now
            )
        )
    ]
    await _write_changes(uow, changed)
    if new:
        await make_products(uow, new)
    outcome.created, outcome.updated = len(new), len(changed)
    outcome.unchanged = len(products) - outcome.rejected - len(new) - len(changed)
    rejected = {error.handle for error in outcome.errors}
    imported = [parsed for parsed in products if parsed.handle not in rejected]
    outcome.variants = sum(len(parsed.variants) for parsed in imported)
    outcome.images = sum(len(parsed.images) for parsed in imported)
    return outcome


async def _known(uow: UnitOfWork, seller_id: UUID, products: Sequence[ParsedProduct]) -> dict[str, Existing]:
    found = await existing.read_products(uow.connection, seller_id, [parsed.handle for parsed in products])
    ids = [record.product_id for record in found.values()]
    variants = await existing.read_variants(uow.connection, ids) if ids else {}
    images = await existing.read_images(uow.connection, ids) if ids else {}
    return {
        handle: Existing(record, variants[record.product_id], images[record.product_id])
        for handle, record in found.items()
    }


def _sku_errors(parsed: ParsedProduct, known: Existing | None, owners: dict[str, UUID]) -> list[RowError]:
    own = None if known is None else known.product.product_id
    return [
        RowError(
            variant.row,
            "Variant SKU",
            RowReason.DUPLICATE_SKU,
            f"the SKU '{variant.sku}' belongs to another product of the seller",
            parsed.handle,
        )
        for variant in parsed.variants
        if variant.sku and owners.get(variant.sku, own) != own
    ]


async def _names(uow: UnitOfWork, products: Iterable[ParsedProduct], outcome: _Outcome) -> Names:
    products = list(products)
    brands, new_brands = await existing.ensure_brands(
        uow.connection, (parsed.vendor for parsed in products if parsed.vendor), uow.now
    )
    categories, new_categories = await existing.ensure_categories(
        uow.connection, (parsed.category for parsed in products if parsed.category), uow.now
    )
    outcome.brands |= new_brands
    outcome.categories |= new_categories
    return Names(brands, categories)


async def _write_changes(uow: UnitOfWork, changed: Sequence[Changes]) -> None:
    await writing.update_products(uow.connection, [item.product for item in changed if item.product], uow.now)
    await writing.update_variants(
        uow.connection, [record for item in changed for record in item.changed_variants], uow.now
    )
    await writing.insert_variants(uow.connection, [record for item in changed for record in item.new_variants], uow.now)
    replaced = [item for item in changed if item.images is not None and item.product is not None]
    await writing.replace_images(
        uow.connection,
        [item.product.product_id for item in replaced if item.product is not None],
        [image for item in replaced for image in item.images or ()],
    )
    await inventory.create_stock(uow, [stock for item in changed for stock in item.new_stocks])
    await inventory.set_stocks(uow, [count for item in changed for count in item.counts])
