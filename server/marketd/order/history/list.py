"""Showing an order's story to those who may see the order whole."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit
from marketd.order import repository
from marketd.order.access import viewer_of
from marketd.order.history.repository import list_events
from marketd.order.history.values import OrderEvent
from marketd.order.values import Order


async def list_order_events(
    unit: ReadUnit, caller: Caller, order_id: UUID, after: int | None, limit: int, *, newest_first: bool
) -> list[tuple[Order, OrderEvent]]:
    """One page of the steps of an order that the caller bought or sells, of any for admins and services, each with the
    order as it is now. Raises NotFound.
    """
    order = await repository.read(unit.connection, order_id)
    if order is None or not viewer_of(caller, order).sees_whole:
        raise NotFound("order", order_id)
    events = await list_events(unit.connection, order_id, after, limit, newest_first=newest_first)
    return [(order, event) for event in events]
