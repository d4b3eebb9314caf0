"""Showing orders to those who may see them."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.order import repository
from marketd.order.access import viewer_of
from marketd.order.values import Order, OrderFilter, OrderReach
from marketd.seller import service as sellers


async def get_order(unit: UnitOfWork | ReadUnit, caller: Caller, order_id: UUID) -> Order:
    """An order that the caller bought, sells or is delivering; any for admins and services. Raises NotFound."""
    order = await repository.read(unit.connection, order_id)
    if order is None or not viewer_of(caller, order).may_see:
        raise NotFound("order", order_id)
    return order


async def list_orders(
    unit: UnitOfWork | ReadUnit,
    caller: Caller,
    wanted: OrderFilter,
    after: UUID | None,
    limit: int,
    *,
    newest_first: bool = True,
) -> list[Order]:
    """The caller's orders that come after `after`, one way or the other; everybody's for admins and services."""
    reach: OrderReach | None = None
    if not caller.has(Role.ADMIN, Role.SERVICE):
        seller = await sellers.seller_of(unit, caller.known_user_id) if caller.has(Role.SELLER) else None
        reach = OrderReach(caller.known_user_id, None if seller is None else seller.seller_id)
    return await repository.list_orders(unit.connection, wanted, reach, after, limit, newest_first=newest_first)
