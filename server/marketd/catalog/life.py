"""The life of a product: published, archived, deleted. Nothing here commits."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.catalog.errors import NothingToSell
from marketd.catalog.locking import lock_own, read_whole
from marketd.catalog.model import ProductState
from marketd.catalog.owners import record_foreign
from marketd.catalog.repository import specs
from marketd.catalog.search import pending as search
from marketd.catalog.values import Product, ProductSpec
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.media import service as media
from marketd.media.values import Holder, HolderKind
from marketd.seller import service as sellers
from marketd.seller.errors import SellerClosed


async def publish_product(uow: UnitOfWork, caller: Caller, product_id: UUID, etag: str = "") -> Product:
    """Publish an own product; one that is published stays as it is, whatever the `etag`; an empty one is unconditional.

    Raises NotFound, EtagMismatch, SellerClosed when the seller does not sell, NothingToSell while nobody could buy it.
    """
    spec, product = await lock_own(uow, caller, product_id)
    # The etag of one that is published is not judged: a repeat whose answer was lost has the one from before.
    if product.state is ProductState.PUBLISHED:
        return product
    check_etag(etag, product.version)
    seller = await sellers.read_seller(uow, product.seller_id)
    if seller is None or not seller.sells:
        raise SellerClosed(product.seller_id, over=seller is None or seller.state.is_over)
    if missing := _missing(product):
        raise NothingToSell(product.state.value, missing)
    return await _move(uow, caller, spec, ProductState.PUBLISHED)


async def archive_product(uow: UnitOfWork, caller: Caller, product_id: UUID, etag: str = "") -> Product:
    """Take an own product out of sale; one that is archived stays as it is, whatever the `etag`.

    Raises NotFound, EtagMismatch.
    """
    spec, product = await lock_own(uow, caller, product_id)
    if product.state is ProductState.ARCHIVED:
        return product
    check_etag(etag, product.version)
    return await _move(uow, caller, spec, ProductState.ARCHIVED)


async def delete_product(uow: UnitOfWork, caller: Caller, product_id: UUID, etag: str, *, allow_missing: bool) -> None:
    """Delete an own product with its variants and pictures; its stock stays with the orders that it is promised to.

    Raises NotFound (with `allow_missing` not for what is gone or was never there; what is somebody else's looks the
    same), EtagMismatch.
    """
    try:
        spec, product = await lock_own(uow, caller, product_id)
    except NotFound:
        if allow_missing:
            return
        raise
    check_etag(etag, product.version)
    await specs.delete_product(uow.connection, product_id, uow.now)
    await media.release_all(uow, Holder(HolderKind.PRODUCT, product_id))
    if product.state is ProductState.PUBLISHED:
        await search.index_products(uow.connection, [product_id])
    await record_foreign(uow, caller, spec.seller_id, ("product", product_id), before=spec)


async def _move(uow: UnitOfWork, caller: Caller, spec: ProductSpec, state: ProductState) -> Product:
    await specs.set_state(uow.connection, spec.product_id, state, uow.now)
    if ProductState.PUBLISHED in (spec.state, state):
        await search.index_products(uow.connection, [spec.product_id])
    await record_foreign(
        uow, caller, spec.seller_id, ("product", spec.product_id), before=spec, after=replace(spec, state=state)
    )
    return await read_whole(uow, spec.product_id)


def _missing(product: Product) -> str:
    """What it takes before anybody could buy anything of it; nothing when somebody could."""
    if not product.variants:
        return "has no variants; give it one that is active and has a price"
    active = [variant for variant in product.variants if variant.active]
    if not active:
        return "has no active variant; make one active that has a price"
    if all(variant.price_minor is None for variant in active):
        return "has no active variant with a price; give one a price"
    return ""
