"""One batch of an import: what the seller has is looked at, what differs is planned and written, in one transaction.

Nothing in the database refuses a product of a file: where what is there stands against the file (a SKU, a promise), the
product comes in without it, with a warning. So a file is good or bad before the first batch is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from marketd.catalog.imports import plan, repository
from marketd.catalog.imports.header import Layout
from marketd.catalog.imports.matching import matched
from marketd.catalog.imports.parsed import ParsedProduct, RowReason, RowWarning
from marketd.catalog.imports.plan import Existing, Names, ProductChanges, Terms
from marketd.catalog.imports.repository import SkuHolder
from marketd.catalog.imports.source import Coming
from marketd.catalog.imports.tally import Outcome
from marketd.catalog.imports.values import ImportOptions
from marketd.catalog.insert import make_products
from marketd.catalog.model import ProductState
from marketd.catalog.repository import specs
from marketd.catalog.search import pending as search
from marketd.inventory import service as inventory
from marketd.kernel.call.refusals import AlreadyExists, ConcurrentUpdate
from marketd.kernel.db.database import DATABASE_ERRORS, constraint_of
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.texts import name_key
from marketd.media import service as media
from marketd.media.values import Holder, HolderKind

_TRIES = 3
_NAMES_GONE = frozenset({"fk_products_brand_id", "fk_products_category_id"})

ComingIn = Callable[[list[str]], Awaitable[frozenset[str]]]
"""Which products of these handles are in the file and not refused."""


@dataclass(slots=True)
class BatchOutcome:
    """What came of a batch: each product, the names that were made, and the products that lost a SKU to it."""

    taken: list[tuple[ParsedProduct, Outcome, Sequence[RowWarning]]] = field(default_factory=list)
    brands: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    gave: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Import:
    """What holds for all batches of an import."""

    tx: Transactor
    seller_id: UUID
    options: ImportOptions
    currency: str
    layout: Layout
    coming_in: ComingIn
    on_change: Callable[[], None]


class _Rehearsed(Exception):
    """Ends a batch that was only tried, so that its transaction rolls back."""

    def __init__(self, outcome: BatchOutcome) -> None:
        super().__init__("rehearsed")
        self.outcome = outcome


async def run_batch(work: Import, coming: Sequence[Coming], gave: frozenset[str]) -> BatchOutcome:
    """Import these products in one transaction; on a dry run, roll it back and only tell what would have come of it.

    gave: those of them that earlier batches have taken a SKU from. Raises ConcurrentUpdate when others keep taking the
    same names.
    """

    async def once(uow: UnitOfWork) -> BatchOutcome:
        try:
            outcome = await _Batch(uow, work, coming).run(gave)
        except DATABASE_ERRORS as error:
            if constraint_of(error) in _NAMES_GONE:
                raise ConcurrentUpdate from error
            raise
        if work.options.dry_run:
            raise _Rehearsed(outcome)
        if any(came is not Outcome.UNCHANGED for _, came, _ in outcome.taken):
            uow.after_commit(work.on_change)
        return outcome

    for attempt in range(1, _TRIES + 1):
        try:
            return await work.tx.run("catalog.import", once)
        except _Rehearsed as rehearsed:
            return rehearsed.outcome
        except (AlreadyExists, ConcurrentUpdate):
            # Somebody took a name or a SKU between our look and our insert, or deleted a brand; a fresh look sees it.
            if attempt == _TRIES:
                raise ConcurrentUpdate from None
    raise ConcurrentUpdate


class _Batch:
    """A batch in its transaction."""

    def __init__(self, uow: UnitOfWork, work: Import, coming: Sequence[Coming]) -> None:
        self._uow = uow
        self._work = work
        self._coming = coming
        self._handles = [item.product.handle for item in coming]

    async def run(self, gave: frozenset[str]) -> BatchOutcome:
        uow, options = self._uow, self._work.options
        await repository.lock_seller(uow.connection, self._work.seller_id)
        holders = await repository.read_sku_holders(uow.connection, self._work.seller_id, self._sku_keys())
        givers = await self._givers(holders)
        known = await self._known(givers)
        touched = [item for item in self._coming if options.update_existing or item.product.handle not in known]
        warnings = {item.product.handle: list(item.warnings) for item in touched}
        wanted = [self._with_free_skus(item.product, holders, known, givers, warnings) for item in touched]
        terms = self._terms(wanted)
        names, outcome = await self._names(wanted, known)
        outcome.gave = frozenset(givers)
        await self._take_skus(wanted, holders, known, givers)
        new = [plan.plan_new(parsed, names, terms) for parsed in wanted if parsed.handle not in known]
        changed = await self._changes([parsed for parsed in wanted if parsed.handle in known], known, names, terms)
        try:
            await self._write(list(changed.values()))
        except DATABASE_ERRORS as error:
            if constraint_of(error) == "uq_variants_seller_id_sku_key":
                raise AlreadyExists("variant", "sku") from error
            raise
        made = await make_products(uow, new) if new else []
        shown = [item.product for item in made]
        # Also what has only given a SKU away: its codes lead elsewhere now.
        shown += [known[handle].product for handle, changes in changed.items() if changes or handle in gave]
        shown += [changes.product for changes in changed.values() if changes.product]
        await search.note_products(
            uow.connection, {spec.product_id for spec in shown if spec.state is ProductState.PUBLISHED}
        )
        for handle, changes in changed.items():
            warnings[handle] += changes.warnings
        for item in self._coming:
            handle = item.product.handle
            if handle not in known:
                came = Outcome.CREATED
            elif handle in gave or changed.get(handle):
                came = Outcome.UPDATED
            else:
                came = Outcome.UNCHANGED
            outcome.taken.append((item.product, came, warnings.get(handle, ())))
        return outcome

    def _sku_keys(self) -> list[str]:
        return [name_key(variant.sku) for item in self._coming for variant in item.product.variants if variant.sku]

    async def _givers(self, holders: Mapping[str, SkuHolder]) -> frozenset[str]:
        """The products outside of this batch that hold a SKU which the file gives to one in it.

        They give it up at once, whether their own turn was or comes; a product that the file does not bring in whole
        keeps what it has.
        """
        if not self._work.options.update_existing:
            return frozenset()
        others = {holder.handle for holder in holders.values()}.difference(self._handles)
        return await self._work.coming_in(sorted(others)) if others else frozenset()

    async def _known(self, givers: Iterable[str]) -> dict[str, Existing]:
        connection = self._uow.connection
        found = await specs.lock_products(connection, self._work.seller_id, [*self._handles, *givers])
        found = {handle: found[handle] for handle in self._handles if handle in found}
        ids = [spec.product_id for spec in found.values()]
        if not ids:
            return {}
        variants = await specs.read_variants(connection, ids)
        images = await specs.read_images(connection, ids)
        return {
            handle: Existing(spec, variants[spec.product_id], images[spec.product_id]) for handle, spec in found.items()
        }

    def _with_free_skus(
        self,
        parsed: ParsedProduct,
        holders: Mapping[str, SkuHolder],
        known: Mapping[str, Existing],
        givers: frozenset[str],
        warnings: Mapping[str, list[RowWarning]],
    ) -> ParsedProduct:
        """The product without the SKUs that other products of the shop keep."""
        variants = list(parsed.variants)
        for place, variant in enumerate(variants):
            holder = holders.get(name_key(variant.sku)) if variant.sku else None
            if holder is None or holder.handle == parsed.handle or holder.handle in givers:
                continue
            if holder.handle in known and self._work.options.update_existing:
                continue
            message = f"the product '{holder.handle[:60]}' has the SKU '{variant.sku[:60]}'; this variant has none"
            column = self._column("Variant SKU", "SKU")
            warnings[parsed.handle].append(
                RowWarning(variant.row, column, RowReason.DUPLICATE_SKU, message, parsed.handle)
            )
            variants[place] = replace(variant, sku="")
        return parsed if tuple(variants) == parsed.variants else replace(parsed, variants=tuple(variants))

    def _column(self, *names: str) -> str:
        """What the file calls the first of these columns that its format has."""
        layout = self._work.layout
        return next((layout.name(name) for name in names if name in layout.columns), names[0])

    def _terms(self, wanted: Iterable[ParsedProduct]) -> Terms:
        return Terms(
            seller_id=self._work.seller_id,
            currency=self._work.currency,
            publish=self._work.options.publish,
            now=self._uow.now,
            missing=self._work.layout.missing,
            skus=frozenset(name_key(variant.sku) for parsed in wanted for variant in parsed.variants if variant.sku),
            quantity_column=self._column("Variant Inventory Qty", "Stock"),
        )

    async def _names(
        self, products: Sequence[ParsedProduct], known: Mapping[str, Existing]
    ) -> tuple[Names, BatchOutcome]:
        connection, now = self._uow.connection, self._uow.now
        brands, new_brands = await repository.ensure_brands(
            connection, (parsed.vendor for parsed in products if parsed.vendor), now
        )
        categories, new_categories = await repository.ensure_categories(
            connection, (parsed.category for parsed in products if parsed.category), now
        )
        held = {spec.product.category_id for spec in known.values() if spec.product.category_id is not None}
        keys = await repository.category_keys(connection, held) if held else {}
        return Names(brands, categories, keys), BatchOutcome(brands=new_brands, categories=new_categories)

    async def _take_skus(
        self,
        wanted: Iterable[ParsedProduct],
        holders: Mapping[str, SkuHolder],
        known: Mapping[str, Existing],
        givers: frozenset[str],
    ) -> None:
        """Free the SKUs that products outside of this batch give to those in it."""
        if not givers:
            return
        keys = {name_key(variant.sku) for parsed in wanted for variant in parsed.variants if variant.sku}
        taken = [holder.variant_id for key, holder in holders.items() if key in keys and holder.handle in givers]
        await search.note_products(
            self._uow.connection, await repository.take_skus(self._uow.connection, taken, keys, self._uow.now)
        )

    async def _changes(
        self, products: Sequence[ParsedProduct], known: Mapping[str, Existing], names: Names, terms: Terms
    ) -> dict[str, ProductChanges]:
        matches = [matched(parsed, known[parsed.handle].variants) for parsed in products]
        found = [spec.variant_id for match in matches for spec in match if spec is not None]
        stocks = await inventory.lock_stocks(self._uow, found) if found else {}
        return {
            parsed.handle: plan.plan_changes(parsed, known[parsed.handle], stocks, names, terms) for parsed in products
        }

    async def _write(self, changed: Sequence[ProductChanges]) -> None:
        uow = self._uow
        await specs.update_products(uow.connection, [item.product for item in changed if item.product], uow.now)
        await specs.update_variants(
            uow.connection, [spec for item in changed for spec in item.changed_variants], uow.now
        )
        await specs.insert_variants(uow.connection, [spec for item in changed for spec in item.new_variants], uow.now)
        replaced = [item for item in changed if item.images is not None and item.product is not None]
        left = await specs.replace_images(
            uow.connection,
            [item.product.product_id for item in replaced if item.product is not None],
            [image for item in replaced for image in item.images or ()],
            uow.now,
        )
        for product_id, media_ids in left.items():
            await media.release(uow, media_ids, Holder(HolderKind.PRODUCT, product_id))
        await inventory.create_stock(uow, [stock for item in changed for stock in item.new_stocks])
        # Policies first: what may be owed decides how far a count may fall.
        await inventory.set_policies(
            uow, {variant: policy for item in changed for variant, policy in item.policies.items()}
        )
        await inventory.set_stocks(uow, [count for item in changed for count in item.counts])
