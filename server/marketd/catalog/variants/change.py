"""Making, changing and deleting one variant. Nothing here commits."""

from __future__ import annotations

from uuid import UUID

from marketd.catalog.locking import lock_own
from marketd.catalog.model import ProductState
from marketd.catalog.owners import record_foreign
from marketd.catalog.repository import products as repository
from marketd.catalog.repository import specs
from marketd.catalog.search import pending as search
from marketd.catalog.values import NewVariant, Variant, VariantChange
from marketd.catalog.variants import rules, shelf
from marketd.catalog.variants.shelf import Shelf
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag


async def create_variant(uow: UnitOfWork, caller: Caller, product_id: UUID, new: NewVariant) -> Variant:
    """Make a further variant of an own product, with its first stock.

    Raises NotFound, ValidationFailed and AlreadyExists as the contract says.
    """
    product, _ = await lock_own(uow, caller, product_id)
    own = (await shelf.load(uow, [product]))[product_id]
    spec = own.add(new, "variant", "variant.product_id")
    own.check_choices()
    await shelf.save(uow, caller, [own])
    return await _read(uow, spec.variant_id)


async def update_variant(uow: UnitOfWork, caller: Caller, change: VariantChange) -> tuple[UUID, Variant]:
    """Change the named fields of a variant of an own product; what is so already stays as it is. Gives the product too.

    Raises NotFound, ValidationFailed, AlreadyExists, EtagMismatch and LastVariant.
    """
    own, shown = await _lock(uow, caller, change.variant_id)
    check_etag(change.etag, shown.version)
    before = own.before[change.variant_id]
    own.after[change.variant_id] = rules.changed_variant(
        before, own.product.option_names, change.paths, change.new, own.product.currency, "variant"
    )
    own.told[change.variant_id] = "variant"
    if "stock_policy" in change.paths and change.new.policy is not shown.availability.policy:
        own.sell_until(change.variant_id, change.new.policy)
    own.check_choices()
    own.check_sold()
    await shelf.save(uow, caller, [own])
    return own.product.product_id, await _read(uow, change.variant_id)


async def delete_variant(uow: UnitOfWork, caller: Caller, variant_id: UUID, etag: str, *, allow_missing: bool) -> None:
    """Delete a variant of an own product; its stock stays with the orders that it is promised to.

    Raises NotFound (not with `allow_missing`), EtagMismatch, and LastVariant when nothing could be bought any more of a
    published product.
    """
    try:
        own, shown = await _lock(uow, caller, variant_id)
    except NotFound:
        if allow_missing:
            return
        raise
    check_etag(etag, shown.version)
    spec = own.after.pop(variant_id)
    own.check_sold()
    await specs.delete_variant(uow.connection, spec, uow.now)
    await specs.update_products(uow.connection, [shelf.priced(own.product, own.after.values())], uow.now)
    if own.product.state is ProductState.PUBLISHED:
        await search.index_products(uow.connection, [own.product.product_id])
    await record_foreign(uow, caller, spec.seller_id, ("variant", variant_id), before=spec)


async def _lock(uow: UnitOfWork, caller: Caller, variant_id: UUID) -> tuple[Shelf, Variant]:
    """The variant as it is shown, on the shelf of its product, which is locked. Raises NotFound for the variant."""
    product_id = await specs.product_of(uow.connection, variant_id)
    try:
        if product_id is None:
            raise NotFound("variant", variant_id)
        product, _ = await lock_own(uow, caller, product_id)
        own = (await shelf.load(uow, [product]))[product_id]
        # Who waited for the lock may have waited for the variant's end.
        return own, await _read(uow, variant_id)
    except NotFound:
        raise NotFound("variant", variant_id) from None


async def _read(uow: UnitOfWork, variant_id: UUID) -> Variant:
    found = await repository.read_variants(uow.connection, [variant_id])
    if variant_id not in found:
        raise NotFound("variant", variant_id)
    return found[variant_id]
