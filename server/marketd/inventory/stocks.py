"""The use cases of stock that sellers ask for: looking at it and counting it anew."""

from __future__ import annotations

from uuid import UUID

from marketd.inventory import repository
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.model import MovementKind, StockPolicy
from marketd.inventory.tell import tell
from marketd.inventory.values import Actor, Counted, Shortage, Stock, StockCount
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.seller import service as sellers


async def get_stock(unit: UnitOfWork | ReadUnit, caller: Caller, variant_id: UUID) -> Stock:
    """The stock of an own variant; of any for admins and services. Raises NotFound."""
    stock = await repository.read_stock(unit.connection, variant_id)
    return await _owned(unit, caller, variant_id, stock)


async def set_stock(uow: UnitOfWork, caller: Caller, count: StockCount) -> Counted:
    """Take a seller's count of an own variant; admins and services may count any.

    A `source_version` that is not above the stored one changes nothing: the count is older than what is known. Neither
    does a count that stands already, whatever its etag. Raises NotFound, EtagMismatch, and InsufficientStock when open
    orders have more pieces reserved than were counted.
    """
    locked = await repository.lock_stocks(uow.connection, [count.variant_id])
    stock = await _owned(uow, caller, count.variant_id, locked.get(count.variant_id))
    source_version = stock.source_version if count.source_version is None else count.source_version
    if count.quantity == stock.on_hand and source_version == stock.source_version:
        return Counted(stock, applied=True)
    check_etag(count.etag, stock.version)
    if count.source_version is not None and count.source_version <= (stock.source_version or 0):
        return Counted(stock, applied=False)
    if stock.policy is StockPolicy.TRACKED and max(0, stock.reserved - count.quantity) > stock.oversold:
        raise InsufficientStock([Shortage(stock.variant_id, stock.reserved, count.quantity)])
    [change] = await repository.count(uow.connection, [count], MovementKind.COUNTED, Actor.of(caller), uow.now)
    tell(uow, [change])
    return Counted(change.stock, applied=True)


async def _owned(unit: UnitOfWork | ReadUnit, caller: Caller, variant_id: UUID, stock: Stock | None) -> Stock:
    if stock is not None and not caller.has(Role.ADMIN, Role.SERVICE):
        seller = await sellers.seller_of(unit, caller.known_user_id)
        if seller is None or seller.seller_id != stock.seller_id:
            stock = None
    if stock is None:
        raise NotFound("stock", variant_id)
    return stock
