"""Orders as they are seen, prepared by the seller, and carried by the courier.

Everything runs on `uow.connection`, in either dress. Locks are taken as order/__init__ says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from marketd.inventory import service as inventory
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.order import repository
from marketd.order.events import (
    OrderAccepted,
    OrderCourierAssigned,
    OrderDelivered,
    OrderOutForDelivery,
    OrderReady,
    OrderRefunded,
)
from marketd.order.model import IN_COURIERS_HANDS, OrderState
from marketd.order.repository import OrderFilter, Reach
from marketd.order.transition import change, lines_of, step
from marketd.order.values import Order, viewer_of
from marketd.seller import service as sellers


@dataclass(frozen=True, slots=True)
class Accept:
    """Take an order on; `prep_minutes` None means the seller's usual, an empty etag whatever happened to it."""

    order_id: UUID
    prep_minutes: int | None
    etag: str


async def get_order(unit: UnitOfWork | ReadUnit, caller: Caller, order_id: UUID) -> Order:
    """An order that the caller bought, sells or is delivering; any for admins and services. Raises NotFound."""
    order = await repository.read(unit.connection, order_id)
    if order is None or not viewer_of(caller, order).may_see:
        raise NotFound("order", order_id)
    return order


async def list_orders(
    unit: UnitOfWork | ReadUnit, caller: Caller, wanted: OrderFilter, before: UUID | None, limit: int
) -> list[Order]:
    """The caller's orders after `before`, newest first; everybody's for admins and services."""
    reach: Reach | None = None
    if not caller.has(Role.ADMIN, Role.SERVICE):
        seller = await sellers.seller_of(unit, caller.known_user_id) if caller.has(Role.SELLER) else None
        reach = Reach(caller.known_user_id, None if seller is None else seller.seller_id)
    return await repository.list_orders(unit.connection, wanted, reach, before, limit)


async def accept_order(uow: UnitOfWork, caller: Caller, command: Accept) -> Order:
    """Take a PAID order on. Raises NotFound, EtagMismatch and IllegalTransition."""
    order = await _own_for_seller(uow, caller, command.order_id, command.etag)
    minutes = order.usual_prep_minutes if command.prep_minutes is None else command.prep_minutes
    return await step(
        uow,
        order,
        OrderState.ACCEPTED,
        OrderAccepted,
        prep_minutes=minutes,
        expected_ready_time=uow.now + timedelta(minutes=minutes),
    )


async def mark_ready(uow: UnitOfWork, caller: Caller, order_id: UUID, etag: str) -> Order:
    """Say that an ACCEPTED order is prepared. Raises NotFound, EtagMismatch and IllegalTransition."""
    order = await _own_for_seller(uow, caller, order_id, etag)
    told = {
        "pickup": None if order.pickup is None else order.pickup.to_json(),
        "dropoff": order.address.to_json(),
        "item_count": sum(item.left for item in order.items),
    }
    return await step(uow, order, OrderState.READY, OrderReady, told)


# -- for delivery, in its own unit of work


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
    return await change(
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
    after = await step(uow, order, OrderState.OUT_FOR_DELIVERY, OrderOutForDelivery)
    await inventory.ship(uow, lines_of(after), order_id)
    return after


async def delivered(uow: UnitOfWork, order_id: UUID) -> Order:
    """The buyer has it. An order whose money was all given back on the way is REFUNDED at once."""
    order = await _locked(uow, order_id)
    after = await step(uow, order, OrderState.DELIVERED, OrderDelivered)
    if after.due_minor and after.refunded_minor == after.due_minor:
        after = await step(uow, after, OrderState.REFUNDED, OrderRefunded, {"amount_minor": 0})
    return after


async def _locked(uow: UnitOfWork, order_id: UUID) -> Order:
    order = await repository.lock(uow.connection, order_id)
    if order is None:
        raise NotFound("order", order_id)
    return order


async def _own_for_seller(uow: UnitOfWork, caller: Caller, order_id: UUID, etag: str) -> Order:
    order = await repository.lock(uow.connection, order_id)
    if order is None or not viewer_of(caller, order).is_seller:
        raise NotFound("order", order_id)
    check_etag(etag, order.version)
    return order
