"""What delivery asks of orders, in its own unit of work. Locks are taken as order/__init__ says."""

from __future__ import annotations

from uuid import UUID

from marketd.inventory import service as inventory
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.order import repository
from marketd.order.events import OrderCourierAssigned, OrderDelivered, OrderOutForDelivery, OrderRefunded
from marketd.order.model import IN_COURIERS_HANDS, OrderState
from marketd.order.transition import lines_of, transition
from marketd.order.values import Order


async def read_order_for_delivery(unit: UnitOfWork | ReadUnit, order_id: UUID) -> Order | None:
    """The order, for a slice that has judged the caller."""
    return await repository.read(unit.connection, order_id)


async def delivery_assigned(
    uow: UnitOfWork, order_id: UUID, courier_user_id: UUID, delivery_id: UUID, *, courier_id: UUID | None = None
) -> Order:
    """Write down who brings the order. Raises IllegalTransition when it is not on its way to the buyer any more."""
    order = await _locked(uow, order_id)
    if order.state not in IN_COURIERS_HANDS:
        raise IllegalTransition("order", order.state.value, [])
    return await transition(
        uow,
        order,
        OrderCourierAssigned,
        delivery_id=delivery_id,
        courier_id=courier_id,
        courier_user_id=courier_user_id,
    )


async def out_for_delivery(uow: UnitOfWork, order_id: UUID) -> Order:
    """The courier has it; the pieces leave the stock. Raises IllegalTransition unless it is READY."""
    order = await _locked(uow, order_id)
    after = await transition(uow, order, OrderOutForDelivery, state=OrderState.OUT_FOR_DELIVERY)
    await inventory.ship(uow, lines_of(after), order_id)
    return after


async def delivered(uow: UnitOfWork, order_id: UUID) -> Order:
    """The buyer has it. An order whose money was all given back on the way is REFUNDED at once."""
    order = await _locked(uow, order_id)
    after = await transition(uow, order, OrderDelivered, state=OrderState.DELIVERED)
    if after.due_minor and after.refunded_amount_minor == after.due_minor:
        after = await transition(uow, after, OrderRefunded, {"amount_minor": 0}, state=OrderState.REFUNDED)
    return after


async def _locked(uow: UnitOfWork, order_id: UUID) -> Order:
    order = await repository.lock(uow.connection, order_id)
    if order is None:
        raise NotFound("order", order_id)
    return order
