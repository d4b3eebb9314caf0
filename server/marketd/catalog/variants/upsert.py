"""Many variants at once, as the seller's own system has them. Nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.catalog.owners import seller_for
from marketd.catalog.repository import products as repository
from marketd.catalog.repository import specs
from marketd.catalog.values import Upserted, UpsertOutcome, VariantUpsert
from marketd.catalog.variants import rules, shelf
from marketd.catalog.variants.shelf import Shelf
from marketd.inventory.model import StockPolicy
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import AlreadyExists, ConcurrentUpdate, FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.texts import name_key


class _Feed:
    """The seller's shelves while the items are laid on them, one after the other."""

    def __init__(
        self, shelves: dict[UUID, Shelf], versions: dict[UUID, int], policies: dict[UUID, StockPolicy]
    ) -> None:
        self.shelves = shelves
        self.policies = policies
        self.by_sku = {
            spec.sku_key: spec.variant_id for own in shelves.values() for spec in own.after.values() if spec.sku_key
        }
        self.products = {
            spec.variant_id: product_id for product_id, own in shelves.items() for spec in own.after.values()
        }
        self.versions = versions
        self.newer: dict[UUID, int] = {}

    def lay(self, item: VariantUpsert, path: str) -> tuple[UUID, UpsertOutcome]:
        """Take one item; which variant it is, and what came of it."""
        variant_id = self.by_sku.get(name_key(item.new.sku))
        if variant_id is None:
            return self._make(item, path), UpsertOutcome.CREATED
        if item.source_version is not None:
            if item.source_version <= self.versions.get(variant_id, 0):
                return variant_id, UpsertOutcome.STALE
            self._note(variant_id, item.source_version)
        own = self.shelves[self.products[variant_id]]
        before = own.after[variant_id]
        after = rules.changed_variant(before, own.product.option_names, item.paths, item.new, f"{path}.variant")
        own.told[variant_id] = f"{path}.variant"
        own.after[variant_id] = after
        is_sold_otherwise = "stock_policy" in item.paths and item.new.policy is not self.policies[variant_id]
        if is_sold_otherwise:
            self.policies[variant_id] = item.new.policy
            own.sell_until(variant_id, item.new.policy)
        is_same = after == before and not is_sold_otherwise
        return variant_id, UpsertOutcome.UNCHANGED if is_same else UpsertOutcome.UPDATED

    def _make(self, item: VariantUpsert, path: str) -> UUID:
        if item.product_id is None:
            problem = "no variant of the shop has this SKU; name the product to make one of"
            raise ValidationFailed(FieldViolation(f"{path}.product_id", problem))
        own = self.shelves.get(item.product_id)
        if own is None:
            raise NotFound("product", item.product_id)
        spec = own.add(item.new, f"{path}.variant", f"{path}.product_id")
        self.by_sku[spec.sku_key] = spec.variant_id
        self.products[spec.variant_id] = own.product.product_id
        self.policies[spec.variant_id] = item.new.policy
        if item.source_version is not None:
            self._note(spec.variant_id, item.source_version)
        return spec.variant_id

    def _note(self, variant_id: UUID, version: int) -> None:
        self.versions[variant_id] = self.newer[variant_id] = version


async def upsert_variants(
    uow: UnitOfWork, caller: Caller, seller_id: UUID | None, items: Sequence[VariantUpsert]
) -> list[Upserted]:
    """Make and change variants of an own shop by their SKUs; what came of each item, in their order.

    All of them or none. Raises NotFound, ValidationFailed, LastVariant, and ConcurrentUpdate when a SKU went somewhere
    else meanwhile.
    """
    for index, item in enumerate(items):
        if not name_key(item.new.sku):
            raise ValidationFailed(FieldViolation(f"items[{index}].variant.sku", "must be given: it names the variant"))
    seller = await seller_for(uow, caller, seller_id, "seller_id")
    keys = sorted({name_key(item.new.sku) for item in items})
    owners = await specs.read_sku_owners(uow.connection, seller.seller_id, keys)
    wanted = {*owners.values(), *(item.product_id for item in items if item.product_id is not None)}
    locked = await specs.lock_all(uow.connection, seller.seller_id, list(wanted))
    # Seen again under the locks: who had them before may have made or moved what the first look did not see.
    owners = await specs.read_sku_owners(uow.connection, seller.seller_id, keys)
    if not set(owners.values()) <= locked.keys():
        raise ConcurrentUpdate
    shelves = await shelf.load(uow, list(locked.values()))
    known = [spec.variant_id for own in shelves.values() for spec in own.after.values() if spec.sku_key in keys]
    feed = _Feed(
        shelves,
        await specs.read_source_versions(uow.connection, known),
        {
            variant_id: variant.availability.policy
            for variant_id, variant in (await repository.read_variants(uow.connection, known)).items()
        },
    )
    laid = [feed.lay(item, f"items[{index}]") for index, item in enumerate(items)]
    for own in shelves.values():
        own.check_choices()
        own.check_sold()
    try:
        await shelf.save(uow, caller, list(shelves.values()))
    except AlreadyExists as error:
        raise ConcurrentUpdate from error
    await specs.set_source_versions(uow.connection, feed.newer)
    shown = await repository.read_variants(uow.connection, list({variant_id for variant_id, _ in laid}))
    return [Upserted(feed.products[variant_id], shown[variant_id], outcome) for variant_id, outcome in laid]
