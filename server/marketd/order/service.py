"""What other slices ask of orders, in their own unit of work. Locks are taken as order/__init__ says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from marketd.inventory import service as inventory
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.order import lists, repository
from marketd.order.codes import give_back_codes
from marketd.order.end import end_order, lock_whole, stock_lines
from marketd.order.events import (
    OrderCourierAssigned,
    OrderCourierWithdrawn,
    OrderDelivered,
    OrderDeliveryMade,
    OrderOutForDelivery,
    OrderRefunded,
)
from marketd.order.model import IN_COURIERS_HANDS, CancellationActor, CancellationReason, Goods, OrderState
from marketd.order.transition import given_back, save_quietly, transition
from marketd.order.values import Order


async def read_order_for_delivery(unit: UnitOfWork | ReadUnit, order_id: UUID) -> Order | None:
    """The order, for a slice that has judged the caller."""
    return await repository.read(unit.connection, order_id)


async def read_order_of_item(unit: UnitOfWork | ReadUnit, item_id: UUID) -> Order | None:
    """The order that has this line, for a slice that judges the caller; None when there is no such line."""
    return await repository.read_of_item(unit.connection, item_id)


async def delivery_made(uow: UnitOfWork, order_id: UUID, delivery_id: UUID) -> Order | None:
    """Write down which delivery the order has; None when it is not READY any more, and none is to be made."""
    order = await _locked(uow, order_id)
    if order.state is not OrderState.READY or order.is_given_back:
        return None
    if order.delivery_id == delivery_id:
        return order
    return await transition(uow, order, OrderDeliveryMade, delivery_id=delivery_id)


async def delivery_assigned(
    uow: UnitOfWork, order_id: UUID, courier_user_id: UUID, delivery_id: UUID, *, courier_id: UUID | None = None
) -> Order:
    """Write down who brings the order. Raises IllegalTransition when it is not on its way to the buyer any more, and
    when it waits in the shop although all of its money is given back.
    """
    order = await _locked(uow, order_id)
    if order.state not in IN_COURIERS_HANDS:
        raise IllegalTransition("order", order.state.value, [])
    if order.state is OrderState.READY and order.is_given_back:
        raise given_back(order)
    return await transition(
        uow,
        order,
        OrderCourierAssigned,
        delivery_id=delivery_id,
        courier_id=courier_id,
        courier_user_id=courier_user_id,
    )


async def courier_withdrawn(uow: UnitOfWork, order_id: UUID) -> Order:
    """Nobody brings the order for now. One that nobody was to bring, or that is over, stays as it is.

    Raises IllegalTransition while a courier has its goods.
    """
    order = await _locked(uow, order_id)
    if order.state is OrderState.OUT_FOR_DELIVERY:
        raise IllegalTransition("order", order.state.value, [])
    if order.state is not OrderState.READY or order.courier_user_id is None:
        return order
    return await transition(uow, order, OrderCourierWithdrawn, courier_id=None, courier_user_id=None)


async def out_for_delivery(uow: UnitOfWork, order_id: UUID) -> Order:
    """The courier has it; the pieces leave the stock. Raises IllegalTransition unless it is READY, and when all of its
    money is given back.
    """
    order = await _locked(uow, order_id)
    after = await transition(uow, order, OrderOutForDelivery, state=OrderState.OUT_FOR_DELIVERY)
    await inventory.ship(uow, stock_lines(after), order_id)
    return after


async def delivered(uow: UnitOfWork, order_id: UUID) -> Order:
    """The buyer has it. An order whose money was all given back on the way is REFUNDED at once."""
    # One without promo codes needs no look at the others of its group, and takes no lock of theirs.
    group_id = await repository.group_with_codes(uow.connection, order_id)
    if group_id is None:
        return await _delivered(uow, await _locked(uow, order_id))
    await repository.lock_group(uow.connection, group_id)
    orders = await repository.lock_orders(uow.connection, group_id)
    after = await _delivered(uow, next(order for order in orders if order.order_id == order_id))
    if after.state is OrderState.REFUNDED:
        await give_back_codes(uow, orders, [after])
    return after


async def _delivered(uow: UnitOfWork, order: Order) -> Order:
    after = await transition(uow, order, OrderDelivered, state=OrderState.DELIVERED)
    if after.due_minor and after.refunded_amount_minor == after.due_minor:
        after = await transition(uow, after, OrderRefunded, {"amount_minor": 0}, state=OrderState.REFUNDED)
    return after


async def undeliverable(uow: UnitOfWork, order_id: UUID, *, actor: CancellationActor, note: str, goods: Goods) -> Order:
    """Nobody can deliver the order: it is CANCELLED and all of its money goes back.

    `goods` is KEPT_BACK for one that is READY, whose pieces are still in the shop, and RETURNED or LOST for one that is
    OUT_FOR_DELIVERY. One that is cancelled already, or that the buyer has without a courier, is given as it is. Raises
    IllegalTransition.
    """
    orders, order = await lock_whole(uow, order_id)
    if order.state is OrderState.CANCELLED or order.is_handed_over:
        return order
    if order.state not in IN_COURIERS_HANDS:
        raise IllegalTransition("order", order.state.value, [])
    return await end_order(
        uow, orders, order, reason=CancellationReason.UNDELIVERABLE, note=note, actor=actor, goods=goods
    )


async def goods_returned(uow: UnitOfWork, order_id: UUID) -> None:
    """The goods of an undeliverable order that were LOST came back after all: the stock rises, once."""
    order = await _locked(uow, order_id)
    if order.goods is not Goods.LOST:
        return
    # The cancellation that ended it has taken exactly the pieces that were on their way.
    pieces = {line.item_id: line.quantity for line in order.cancellations[-1].lines}
    await save_quietly(uow, order, goods=Goods.RETURNED)
    await inventory.put_back(uow, stock_lines(order, pieces), order_id)


async def holds_account(uow: UnitOfWork, user_id: UUID) -> str | None:
    """What the account has bought and is not over, for auth's AccountHolder: `order K7QD-2XMP and 2 more`."""
    return _named(await lists.first_open_bought(uow.connection, user_id))


async def holds_seller(uow: UnitOfWork, seller_id: UUID) -> str | None:
    """What the shop has sold and is not over: `order K7QD-2XMP and 2 more`; None when nothing waits for it."""
    return _named(await lists.first_open_sold(uow.connection, seller_id))


def _named(found: tuple[str, int] | None) -> str | None:
    if found is None:
        return None
    order_number, count = found
    return f"order {order_number}" if count == 1 else f"order {order_number} and {count - 1} more"


async def _locked(uow: UnitOfWork, order_id: UUID) -> Order:
    order = await repository.lock(uow.connection, order_id)
    if order is None:
        raise NotFound("order", order_id)
    return order


async def has_ordered(unit: UnitOfWork | ReadUnit, user_id: UUID, besides: UUID | None) -> bool:
    """Whether the account has an order that stands outside of the group `besides`, for promotion's BuyerHistory."""
    return await lists.has_standing(unit.connection, user_id, besides)


async def shows_media(connection: Connection, media_ids: Collection[UUID]) -> Mapping[UUID, UUID]:
    """Those of the media that a line of an order shows, each with such an order, for media's LateHolder."""
    return await lists.read_shown_media(connection, media_ids)
