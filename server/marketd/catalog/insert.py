"""Bringing planned products into the database, for CreateProduct and for imports alike: rows, slugs and first stock."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from marketd.catalog.repository import slugs, specs
from marketd.catalog.values import ProductImage, ProductSpec, VariantSpec
from marketd.inventory import service as inventory
from marketd.inventory.values import Actor, NewStock
from marketd.kernel.call.refusals import AlreadyExists, ConcurrentUpdate
from marketd.kernel.db.database import DATABASE_ERRORS, constraint_of
from marketd.kernel.db.uow import UnitOfWork

_SUFFIX_LETTERS = "23456789bcdfghjkmnpqrstvwxz"


@dataclass(frozen=True, slots=True)
class Planned:
    """A product to be made. `has_own_slug`: the seller chose the slug, so no other will do."""

    product: ProductSpec
    variants: Sequence[VariantSpec]
    images: Sequence[ProductImage]
    stocks: Sequence[NewStock] = field(default=())
    has_own_slug: bool = False
    keeps_handle: bool = False


async def make_products(uow: UnitOfWork, planned: Sequence[Planned], actor: Actor | None = None) -> list[Planned]:
    """Make the products, with slugs that nobody has; gives them as they were made, in the same order. planned: 1..50.

    `actor` is who makes them, None whoever makes the current call. Slugs that the seller chose are kept or refused.
    Raises AlreadyExists for a slug or SKU in use, and ConcurrentUpdate when somebody else takes the same names at the
    same time.
    """
    made: dict[int, Planned] = {}
    waiting = dict(enumerate(planned))
    attempt = 0
    while waiting:
        inserted = await specs.insert_products(uow.connection, [item.product for item in waiting.values()], uow.now)
        made |= {place: item for place, item in waiting.items() if item.product.product_id in inserted}
        attempt += 1
        waiting = {place: _renamed(planned[place], attempt) for place in waiting if place not in made}
    ordered = [made[place] for place in range(len(planned))]
    # Whoever gives a slug up at the same time is waited for by the unique index, and is seen only by a look after that.
    if await slugs.are_former(uow.connection, {item.product.slug: item.product.product_id for item in ordered}):
        raise ConcurrentUpdate
    try:
        await specs.insert_variants(uow.connection, [row for item in ordered for row in item.variants], uow.now)
    except DATABASE_ERRORS as error:
        if constraint_of(error) == "uq_variants_seller_id_sku_key":
            raise AlreadyExists("variant", "sku") from error
        raise
    await specs.insert_images(uow.connection, [row for item in ordered for row in item.images], uow.now)
    await inventory.create_stock(uow, [row for item in ordered for row in item.stocks], actor)
    return ordered


def _renamed(item: Planned, attempt: int) -> Planned:
    """The product with the next name to try: -2, -3, then random ones that no race can share."""
    product = item.product
    if attempt > 6:
        raise ConcurrentUpdate
    if item.has_own_slug:
        if attempt > 1:
            raise AlreadyExists("product", "slug")
        # The slug may be free and only the handle, which was made from it, in use by the same seller.
        return replace(item, product=replace(product, handle=f"{product.slug}-{random_suffix()}"))
    slug = f"{product.slug}-{attempt + 1 if attempt < 4 else random_suffix()}"
    return replace(item, product=replace(product, slug=slug, handle=product.handle if item.keeps_handle else slug))


def random_suffix() -> str:
    """The end of a slug that no race can share."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(6))


def cheapest(variants: Iterable[VariantSpec]) -> VariantSpec:
    """The variant whose prices a product shows: the cheapest active one, or of all when none is active; one without a
    price when none has one. variants: not empty.
    """
    return min(variants, key=lambda row: (row.price_minor is None, not row.active, row.price_minor or 0, row.position))
