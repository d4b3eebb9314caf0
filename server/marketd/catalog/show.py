"""Showing products, one or a page of them. Drafts and archived products exist only for their seller and for admins; to
everybody else they are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from marketd.catalog.model import ProductState
from marketd.catalog.owners import own_seller, owns
from marketd.catalog.repository import products as repository
from marketd.catalog.repository.products import ProductKey
from marketd.catalog.values import Order, Product, ProductQuery
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit

_PUBLISHED = (ProductState.PUBLISHED,)


async def get_product(
    unit: ReadUnit, caller: Caller, product_id: UUID | None, slug: str, *, variants: bool = True, images: bool = True
) -> Product:
    """A product by its id, or when that is None by its slug or one that it had; variants and pictures only when wanted.
    What a seller that does not sell has published still shows, because orders and bookmarks lead there; it says that it
    is not for sale.

    Raises NotFound.
    """
    product = await repository.read(unit.connection, product_id, slug, variants=variants, images=images)
    if product is None or (
        product.state is not ProductState.PUBLISHED and not await owns(unit, caller, product.seller_id)
    ):
        raise NotFound("product", slug if product_id is None else product_id)
    return product


async def batch_get_products(unit: ReadUnit, caller: Caller, product_ids: Sequence[UUID]) -> list[Product]:
    """These products, each once and in the order of the ids, as far as they are there for the caller."""
    found = await repository.read_many(unit.connection, product_ids)
    if any(product.state is not ProductState.PUBLISHED for product in found.values()) and not caller.has(Role.ADMIN):
        own = await own_seller(unit, caller)
        found = {
            product_id: product
            for product_id, product in found.items()
            if product.state is ProductState.PUBLISHED or (own is not None and product.seller_id == own.seller_id)
        }
    return [found[product_id] for product_id in dict.fromkeys(product_ids) if product_id in found]


async def list_products(
    unit: ReadUnit, caller: Caller, query: ProductQuery, order: Order, after: ProductKey | None, limit: int
) -> list[Product]:
    """Up to `limit` products after that key: published ones of sellers that sell, and of others only what the caller
    owns.

    Without a stated state, nothing but the caller's own seller gives all states. Admins see every state that they ask
    for, and what a seller that they name has published though it does not sell. PUBLISHED alone gives what everybody
    sees, also to them.
    """
    queries = await _allowed(unit, caller, query)
    if not queries:
        return []
    return await repository.list_products(unit.connection, queries, order, after, limit)


def is_public(query: ProductQuery) -> bool:
    """Whether the list is the same for everybody, whoever asks."""
    return query.states == _PUBLISHED or not (query.states or query.seller_ids)


async def _allowed(unit: ReadUnit, caller: Caller, query: ProductQuery) -> list[ProductQuery]:
    """What the caller may see of the query, as queries that no product meets two of; none for nothing."""
    public = replace(query, states=_PUBLISHED, sells=True)
    if is_public(query):
        return [public]
    if caller.has(Role.ADMIN):
        return [replace(query, states=query.states or _PUBLISHED)]
    own = await own_seller(unit, caller)
    if not query.states:
        is_own = own is not None and query.seller_ids == (own.seller_id,)
        return [query if is_own else public]
    asked = [public] if ProductState.PUBLISHED in query.states else []
    others = tuple(state for state in query.states if state is not ProductState.PUBLISHED)
    if own is not None and (not query.seller_ids or own.seller_id in query.seller_ids):
        mine = replace(query, seller_ids=(own.seller_id,))
        if asked and not own.sells:
            asked.append(replace(mine, states=_PUBLISHED, sells=False))
        if others:
            asked.append(replace(mine, states=others))
    return asked
