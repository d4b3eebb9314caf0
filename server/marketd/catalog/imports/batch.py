"""One batch of an import: what the seller has is looked at, what differs is planned and written, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from marketd.catalog.imports import plan, repository
from marketd.catalog.imports.parsed import ParsedProduct, RowError, RowReason, rejected_rows
from marketd.catalog.imports.plan import Existing, Names, ProductChanges
from marketd.catalog.imports.values import ImportOptions
from marketd.catalog.insert import make_products
from marketd.catalog.repository import specs
from marketd.inventory import service as inventory
from marketd.kernel.call.refusals import AlreadyExists, ConcurrentUpdate
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.texts import name_key

_TRIES = 3


@dataclass(slots=True)
class BatchOutcome:
    """What came of a batch, or of all so far; brands and categories by the keys of those that were made."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    variants: int = 0
    images: int = 0
    brands: set[str] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)
    errors: list[RowError] = field(default_factory=list)

    def add(self, other: BatchOutcome) -> None:
        """Count another batch as well."""
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
        """How many products are done with, whatever came of them."""
        return self.created + self.updated + self.unchanged + self.rejected


class _Rehearsed(Exception):
    """Ends a batch that was only tried, so that its transaction rolls back."""

    def __init__(self, outcome: BatchOutcome) -> None:
        super().__init__("rehearsed")
        self.outcome = outcome


async def run_batch(
    tx: Transactor,
    seller_id: UUID,
    products: Sequence[ParsedProduct],
    options: ImportOptions,
    currency: str,
    on_change: Callable[[], None],
    *,
    rehearse: bool,
) -> BatchOutcome:
    """Import these products in one transaction; with `rehearse`, roll it back and only tell what would have come of it.

    Raises ConcurrentUpdate when others keep taking the same names.
    """

    async def work(uow: UnitOfWork) -> BatchOutcome:
        outcome = await _import_batch(uow, seller_id, products, options, currency)
        if rehearse:
            raise _Rehearsed(outcome)
        if outcome.created or outcome.updated:
            uow.after_commit(on_change)
        return outcome

    for attempt in range(1, _TRIES + 1):
        try:
            return await tx.run("catalog.import", work)
        except _Rehearsed as rehearsed:
            return rehearsed.outcome
        except (AlreadyExists, ConcurrentUpdate):
            # Somebody took a name or a SKU between our look and our insert; a fresh look sees it.
            if attempt == _TRIES:
                raise ConcurrentUpdate from None
    raise ConcurrentUpdate


async def _import_batch(
    uow: UnitOfWork, seller_id: UUID, products: Sequence[ParsedProduct], options: ImportOptions, currency: str
) -> BatchOutcome:
    outcome = BatchOutcome()
    await repository.lock_seller(uow.connection, seller_id)
    known = await _known(uow, seller_id, products)
    owners = await specs.read_sku_owners(
        uow.connection,
        seller_id,
        [name_key(variant.sku) for parsed in products for variant in parsed.variants if variant.sku],
    )
    touched = [parsed for parsed in products if options.update_existing or parsed.handle not in known]
    matches = {
        parsed.handle: plan.matched(parsed, known[parsed.handle]) for parsed in touched if parsed.handle in known
    }
    stocks = await inventory.lock_stocks(
        uow, [spec.variant_id for found in matches.values() for spec in found if spec is not None]
    )
    good: list[ParsedProduct] = []
    for parsed in touched:
        errors = _sku_errors(parsed, known.get(parsed.handle), owners)
        if parsed.handle in matches:
            errors += plan.reserved_errors(parsed, matches[parsed.handle], stocks)
        if errors:
            outcome.rejected += 1
            outcome.errors += rejected_rows(parsed.handle, parsed.rows, errors)
        else:
            good.append(parsed)
    names = await _names(uow, good, outcome)
    new = [
        plan.plan_new(parsed, seller_id, currency, names, publish=options.publish, now=uow.now)
        for parsed in good
        if parsed.handle not in known
    ]
    changed = [
        changes
        for parsed in good
        if parsed.handle in known
        and (
            changes := plan.plan_changes(
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
    found = await specs.lock_products(uow.connection, seller_id, [parsed.handle for parsed in products])
    ids = [spec.product_id for spec in found.values()]
    variants = await specs.read_variants(uow.connection, ids) if ids else {}
    images = await specs.read_images(uow.connection, ids) if ids else {}
    return {
        handle: Existing(spec, variants[spec.product_id], images[spec.product_id]) for handle, spec in found.items()
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
        if variant.sku and owners.get(name_key(variant.sku), own) != own
    ]


async def _names(uow: UnitOfWork, products: Iterable[ParsedProduct], outcome: BatchOutcome) -> Names:
    products = list(products)
    brands, new_brands = await repository.ensure_brands(
        uow.connection, (parsed.vendor for parsed in products if parsed.vendor), uow.now
    )
    categories, new_categories = await repository.ensure_categories(
        uow.connection, (parsed.category for parsed in products if parsed.category), uow.now
    )
    outcome.brands |= new_brands
    outcome.categories |= new_categories
    return Names(brands, categories)


async def _write_changes(uow: UnitOfWork, changed: Sequence[ProductChanges]) -> None:
    await specs.update_products(uow.connection, [item.product for item in changed if item.product], uow.now)
    await specs.update_variants(uow.connection, [spec for item in changed for spec in item.changed_variants], uow.now)
    await specs.insert_variants(uow.connection, [spec for item in changed for spec in item.new_variants], uow.now)
    replaced = [item for item in changed if item.images is not None and item.product is not None]
    await specs.replace_images(
        uow.connection,
        [item.product.product_id for item in replaced if item.product is not None],
        [image for item in replaced for image in item.images or ()],
    )
    await inventory.create_stock(uow, [stock for item in changed for stock in item.new_stocks])
    await inventory.set_stocks(uow, [count for item in changed for count in item.counts])
