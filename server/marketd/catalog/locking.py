"""Products of one's own, locked to be changed."""

from __future__ import annotations

from uuid import UUID

from marketd.catalog.owners import owns
from marketd.catalog.repository import products as repository
from marketd.catalog.repository import specs
from marketd.catalog.values import Product, ProductSpec
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork


async def lock_own(uow: UnitOfWork, caller: Caller, product_id: UUID) -> tuple[ProductSpec, Product]:
    """An own product, locked: what its seller decided, and all that it shows. Raises NotFound.

    A second statement reads it: one that waited for the lock would show the variants as they were before the wait.
    """
    spec = await specs.lock_product(uow.connection, product_id)
    if spec is None or not await owns(uow, caller, spec.seller_id):
        raise NotFound("product", product_id)
    return spec, await read_whole(uow, product_id)


async def read_whole(uow: UnitOfWork, product_id: UUID) -> Product:
    """All that a product shows. Raises NotFound."""
    product = await repository.read(uow.connection, product_id)
    if product is None:
        raise NotFound("product", product_id)
    return product
