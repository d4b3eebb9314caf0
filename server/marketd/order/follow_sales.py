"""What orders mean for how well products sell: the catalog counts the pieces that were paid for, by the day of the
payment, less those that were taken back.

The relay hands an order's events on in their order and each once, so every piece is counted and taken back once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from marketd.catalog import service as catalog
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import StoredEvent
from marketd.order import repository
from marketd.order.events import OrderCancelled, OrderLinesCancelled, OrderPaid, OrderRefunded, OrderRejected
from marketd.order.model import OrderState
from marketd.order.values import Order

PAID: Final = OrderPaid.event_type
REFUNDED: Final = OrderRefunded.event_type
CANCELLED: Final = (OrderCancelled.event_type, OrderRejected.event_type, OrderLinesCancelled.event_type)


async def order_paid(uow: UnitOfWork, event: StoredEvent) -> None:
    """Count what was paid for."""
    order = await _order_after(uow, event)
    await _count(uow, order, _left(order), 1)


async def order_cancelled(uow: UnitOfWork, event: StoredEvent) -> None:
    """Take back what was cancelled, all or a part; what was never paid for was not counted."""
    order = await _order_after(uow, event)
    if order.pay_time is not None:
        await _count(uow, order, {line.item_id: line.quantity for line in order.cancellations[-1].lines}, -1)


async def order_refunded(uow: UnitOfWork, event: StoredEvent) -> None:
    """Take back what the buyer had and got all money back for; a part of the money says nothing about pieces."""
    order = await _order_after(uow, event)
    if order.state is OrderState.REFUNDED:
        await _count(uow, order, _left(order), -1)


async def _order_after(uow: UnitOfWork, event: StoredEvent) -> Order:
    """The order as the event left it."""
    order = await repository.read(uow.connection, event.aggregate_id)
    progress = event.payload["after"]
    if order is None or not isinstance(progress, dict):
        raise RuntimeError(f"the order of event {event.event_id} cannot be read")
    return order.with_progress(progress)


def _left(order: Order) -> dict[UUID, int]:
    return {item.item_id: item.quantity - item.cancelled_quantity for item in order.items}


async def _count(uow: UnitOfWork, order: Order, quantities: Mapping[UUID, int], sign: int) -> None:
    pieces: Counter[UUID] = Counter()
    for item in order.items:
        pieces[item.product_id] += sign * quantities.get(item.item_id, 0)
    if order.pay_time is not None:
        sold = {product_id: count for product_id, count in pieces.items() if count}
        await catalog.count_sales(uow, sold, order.pay_time.date())
