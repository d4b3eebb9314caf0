"""A locked product with its variants, as they are and as they are to be, and how the difference is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from marketd.catalog.errors import LastVariant
from marketd.catalog.model import MAX_VARIANTS, ProductState
from marketd.catalog.owners import record_foreign
from marketd.catalog.repository import specs
from marketd.catalog.search import pending as search
from marketd.catalog.values import NewVariant, ProductSpec, VariantSpec
from marketd.catalog.variants import rules
from marketd.inventory import service as inventory
from marketd.inventory.model import StockPolicy
from marketd.inventory.values import Actor, NewStock
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, ValidationFailed
from marketd.kernel.db.database import DATABASE_ERRORS, constraint_of
from marketd.kernel.db.uow import UnitOfWork

FIRST_STOCK = "first stock"


@dataclass(slots=True)
class Shelf:
    """One product's variants by id, in order. `told` says where in the request each came from."""

    product: ProductSpec
    before: dict[UUID, VariantSpec]
    after: dict[UUID, VariantSpec]
    policies: dict[UUID, StockPolicy] = field(default_factory=dict)
    stocks: list[NewStock] = field(default_factory=list)
    told: dict[UUID, str] = field(default_factory=dict)

    @property
    def new(self) -> list[VariantSpec]:
        """The variants to be made."""
        return [spec for spec in self.after.values() if spec.variant_id not in self.before]

    @property
    def changed(self) -> list[VariantSpec]:
        """The variants to be changed: what they are, or until when they are sold."""
        return [
            spec
            for variant_id, spec in self.after.items()
            if variant_id in self.before and (spec != self.before[variant_id] or variant_id in self.policies)
        ]

    def add(self, new: NewVariant, path: str, product_path: str) -> VariantSpec:
        """A further variant behind the others. The first one of a product without options brings them along."""
        if len(self.after) >= MAX_VARIANTS:
            problem = f"has {MAX_VARIANTS} variants, which is the most; delete one first"
            raise ValidationFailed(FieldViolation(product_path, problem))
        names = self.product.option_names
        if not names and not self.after:
            names = tuple(sorted(new.options))
            self.product = replace(self.product, option_names=names)
        position = max((spec.position for spec in self.after.values()), default=0) + 1
        spec = rules.new_variant(
            self.product.product_id, self.product.seller_id, names, new, self.product.currency, position, path
        )
        if not names and self.after:
            raise ValidationFailed(FieldViolation(f"{path}.options", rules.NO_OPTIONS))
        self.after[spec.variant_id] = spec
        self.told[spec.variant_id] = path
        self.stocks.append(
            NewStock(spec.variant_id, spec.seller_id, new.initial_quantity, FIRST_STOCK, policy=new.policy)
        )
        return spec

    def sell_until(self, variant_id: UUID, policy: StockPolicy) -> None:
        """Say until when a variant is sold."""
        if variant_id in self.before:
            self.policies[variant_id] = policy
        else:
            self.stocks = [
                replace(stock, policy=policy) if stock.variant_id == variant_id else stock for stock in self.stocks
            ]

    def check_choices(self) -> None:
        """Raise ValidationFailed for two variants with the same values."""
        seen: set[str] = set()
        for spec in sorted(self.after.values(), key=lambda spec: spec.variant_id in self.told):
            if spec.options_key in seen:
                raise ValidationFailed(
                    FieldViolation(f"{self.told[spec.variant_id]}.options", "another variant has the same values")
                )
            seen.add(spec.options_key)

    def check_sold(self) -> None:
        """Raise LastVariant when nothing could be bought any more of a published product."""
        if self.product.state is ProductState.PUBLISHED:
            was, is_sold = (any(map(rules.is_sellable, each.values())) for each in (self.before, self.after))
            if was and not is_sold:
                raise LastVariant


async def load(uow: UnitOfWork, products: Sequence[ProductSpec]) -> dict[UUID, Shelf]:
    """The shelves of products that the caller has locked, by product."""
    found = await specs.read_variants(uow.connection, [product.product_id for product in products])
    return {
        product.product_id: Shelf(product, before, dict(before))
        for product in products
        for before in [{spec.variant_id: spec for spec in found[product.product_id]}]
    }


async def save(uow: UnitOfWork, caller: Caller, shelves: Sequence[Shelf]) -> None:
    """Write what is to be, in as many statements for many variants as for one; what is so already is left alone.

    The caller has made its checks. Raises AlreadyExists for a SKU in use.
    """
    stale = [shelf for shelf in shelves if shelf.new or shelf.changed]
    if not stale:
        return
    changed = [spec for shelf in stale for spec in shelf.changed]
    new = [spec for shelf in stale for spec in shelf.new]
    # The product's version stands for all that it shows, so it rises with each change of a variant.
    await specs.update_products(
        uow.connection, [priced(shelf.product, shelf.after.values()) for shelf in stale], uow.now
    )
    try:
        await specs.update_variants(uow.connection, changed, uow.now)
        await specs.insert_variants(uow.connection, new, uow.now)
    except DATABASE_ERRORS as error:
        if constraint_of(error) == "uq_variants_seller_id_sku_key":
            raise AlreadyExists("variant", "sku") from error
        raise
    await inventory.create_stock(uow, [stock for shelf in stale for stock in shelf.stocks], Actor.of(caller))
    policies = {variant_id: policy for shelf in stale for variant_id, policy in shelf.policies.items()}
    if policies:
        await inventory.lock_stocks(uow, list(policies))
        await inventory.set_policies(uow, policies)
    # Behind the stocks: a document says whether there are some.
    await search.index_products(
        uow.connection, [shelf.product.product_id for shelf in stale if shelf.product.state is ProductState.PUBLISHED]
    )
    for shelf in stale:
        for spec in [*shelf.changed, *shelf.new]:
            await record_foreign(
                uow,
                caller,
                spec.seller_id,
                ("variant", spec.variant_id),
                before=shelf.before.get(spec.variant_id),
                after=spec,
            )


def priced(product: ProductSpec, variants: Iterable[VariantSpec]) -> ProductSpec:
    """The product with the prices that it shows of these variants."""
    price, compare_at_price = rules.shown_prices(variants)
    return replace(product, price_minor=price, compare_at_price_minor=compare_at_price)
