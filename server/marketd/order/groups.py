"""Showing what was bought at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.values.money import Money
from marketd.order import repository
from marketd.order.access import viewer_of
from marketd.order.values import Order
from marketd.payment.read import get_payment
from marketd.payment.values import Payment


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group as far as somebody may see it; payment and total are None for who sees a part of it only.

    orders: 1 or more, in id order.
    """

    order_group_id: UUID
    orders: tuple[Order, ...]
    payment: Payment | None
    total: Money | None
    create_time: datetime


async def get_order_group(unit: ReadUnit, caller: Caller, order_group_id: UUID) -> ShownGroup:
    """A group: the buyer's own, any for admins and services, and for a seller the own orders of it. Raises NotFound.

    A courier is told no group of what it brings, and finds none.
    """
    orders = await repository.read_group(unit.connection, order_group_id)
    seen = tuple(order for order in orders if viewer_of(caller, order).sees_whole)
    if not seen:
        raise NotFound("order group", order_group_id)
    first = seen[0]
    viewer = viewer_of(caller, first)
    if not (viewer.is_buyer or viewer.is_admin or viewer.is_service):
        return ShownGroup(order_group_id, seen, None, None, first.create_time)
    payment = await get_payment(unit, caller, first.payment_id)
    total = first.money(sum(order.total_minor for order in seen))
    return ShownGroup(order_group_id, seen, payment, total, first.create_time)
