"""Showing orders to those who may see them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.order import lists, repository
from marketd.order.access import viewer_of
from marketd.order.values import Order, OrderFilter


async def get_order(unit: UnitOfWork | ReadUnit, caller: Caller, order_id: UUID) -> Order:
    """An order that the caller bought, sells or is delivering; any for admins and services. Raises NotFound."""
    order = await repository.read(unit.connection, order_id)
    if order is None or not viewer_of(caller, order).may_see:
        raise NotFound("order", order_id)
    return order


async def batch_get_orders(unit: UnitOfWork | ReadUnit, caller: Caller, order_ids: Sequence[UUID]) -> list[Order]:
    """Those of the orders that the caller may see, each once, in the order of the ids."""
    found = await repository.read_many(unit.connection, set(order_ids))
    wanted = [found[order_id] for order_id in dict.fromkeys(order_ids) if order_id in found]
    return [order for order in wanted if viewer_of(caller, order).may_see]


async def list_orders(
    unit: UnitOfWork | ReadUnit,
    caller: Caller,
    wanted: OrderFilter,
    after: UUID | None,
    limit: int,
    *,
    newest_first: bool = True,
) -> list[Order]:
    """The caller's orders that come after `after`, one way or the other; everybody's for admins and services.

    Whoever has sold sees what was sold also when the shop is closed or the role is gone, as in GetOrder.
    """
    account_id = None if caller.has(Role.ADMIN, Role.SERVICE) else caller.known_user_id
    return await lists.list_orders(
        unit.connection,
        wanted,
        account_id,
        after,
        limit,
        newest_first=newest_first,
        in_hands=caller.has(Role.COURIER),
    )
