"""Whose stock it is: what a caller may see and change."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from marketd.inventory.values import Stock
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.seller import service as sellers


async def owned(unit: UnitOfWork | ReadUnit, caller: Caller, stocks: Mapping[UUID, Stock]) -> dict[UUID, Stock]:
    """Those of the stocks that are of the caller's shop; for admins and services all of them."""
    if caller.has(Role.ADMIN, Role.SERVICE):
        return dict(stocks)
    seller = await sellers.seller_of(unit, caller.known_user_id)
    if seller is None:
        return {}
    return {variant_id: stock for variant_id, stock in stocks.items() if stock.seller_id == seller.seller_id}


async def owned_one(unit: UnitOfWork | ReadUnit, caller: Caller, variant_id: UUID, stock: Stock | None) -> Stock:
    """The stock when it is there and the caller's. Raises NotFound."""
    found = {} if stock is None else await owned(unit, caller, {variant_id: stock})
    if variant_id not in found:
        raise NotFound("stock", variant_id)
    return found[variant_id]


async def is_own(unit: UnitOfWork | ReadUnit, caller: Caller, stock: Stock) -> bool:
    """Whether the stock is of the caller's own shop, also for admins and services."""
    if not caller.has(Role.ADMIN, Role.SERVICE):
        return True
    if not caller.has(Role.SELLER) or caller.user_id is None:
        return False
    seller = await sellers.seller_of(unit, caller.user_id)
    return seller is not None and seller.seller_id == stock.seller_id
