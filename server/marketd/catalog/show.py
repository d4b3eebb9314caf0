"""Showing products, one or a page of them. Drafts and archived products exist only for their seller and for admins; to
everybody else they are not there.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.catalog.model import ProductState
from marketd.catalog.owners import own_seller, owns
from marketd.catalog.repository import products as repository
from marketd.catalog.repository.products import ProductKey
from marketd.catalog.values import Product, ProductQuery
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit


async def get_product(
    unit: ReadUnit, caller: Caller, product_id: UUID | None, slug: str, *, variants: bool = True, images: bool = True
) -> Product:
    """A product by its id, or by its slug when that is None; variants and pictures only when wanted.

    Raises NotFound.
    """
    product = await repository.read(unit.connection, product_id, slug, variants=variants, images=images)
    if product is None or (
        product.state is not ProductState.PUBLISHED and not await owns(unit, caller, product.seller_id)
    ):
        raise NotFound("product", slug if product_id is None else product_id)
    return product


async def list_products(
    unit: ReadUnit, caller: Caller, query: ProductQuery, after: ProductKey | None, limit: int
) -> list[Product]:
    """Up to `limit` products after that key: published ones, and of other states only what the caller owns.

    Without a stated state, the caller's own seller gives all states. Admins see every state that they ask for.
    """
    narrowed = await _allowed(unit, caller, query)
    if narrowed is None:
        return []
    return await repository.list_products(unit.connection, narrowed, after, limit)


def is_public(query: ProductQuery) -> bool:
    """Whether the list is the same for everybody, whoever asks."""
    return query.state is ProductState.PUBLISHED or (query.state is None and query.seller_id is None)


async def _allowed(unit: ReadUnit, caller: Caller, query: ProductQuery) -> ProductQuery | None:
    """The query with what the caller may see of it; None for nothing."""
    if is_public(query) or (query.state not in (None, ProductState.PUBLISHED) and caller.has(Role.ADMIN)):
        return replace(query, state=query.state or ProductState.PUBLISHED)
    own = await own_seller(unit, caller)
    if own is not None and query.seller_id in (None, own.seller_id):
        return replace(query, seller_id=own.seller_id)
    return replace(query, state=ProductState.PUBLISHED) if query.state is None else None
