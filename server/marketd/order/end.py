"""The one way in which an order ends before the buyer has it: cancelled by a person or by the marketplace, rejected,
not accepted in time, given back whole, or undeliverable. Cancelling it part by part (cancel.py) takes the same steps.

What is left of its money goes back, by a refund where it was taken; so do the uses of its promo codes, unless another
order of its group holds them; its pieces go back to the stock, unless a courier has lost them. Everything happens under
the locks that `lock_whole` takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from marketd.audit import log
from marketd.audit.call import Act
from marketd.inventory import service as inventory
from marketd.inventory.values import StockLine
from marketd.kernel.call.caller import SYSTEM, Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job
from marketd.kernel.values.money import Money
from marketd.order import repository
from marketd.order.cancellations import Cancellation, CancelledPieces
from marketd.order.codes import give_back_codes
from marketd.order.events import OrderCancelled, OrderDelivered, OrderRejected
from marketd.order.model import CancellationActor, CancellationReason, Goods, OrderState
from marketd.order.transition import transition
from marketd.order.values import Order, OrderItem
from marketd.payment import service as payments
from marketd.payment.ports import RefundShare

PAY_FREE: Final = "order.pay_free"


async def lock_whole(uow: UnitOfWork, order_id: UUID) -> tuple[list[Order], Order]:
    """Lock an order's group with its payments and orders; all of them, and the order itself. Raises NotFound."""
    group_id = await repository.group_of(uow.connection, order_id)
    if group_id is None:
        raise NotFound("order", order_id)
    await repository.lock_group(uow.connection, group_id)
    await payments.lock_group_payments(uow, group_id)
    orders = await repository.lock_orders(uow.connection, group_id)
    return orders, next(order for order in orders if order.order_id == order_id)


async def end_order(
    uow: UnitOfWork,
    orders: Sequence[Order],
    order: Order,
    *,
    state: OrderState = OrderState.CANCELLED,
    reason: CancellationReason,
    note: str = "",
    actor: CancellationActor = CancellationActor.SYSTEM,
    goods: Goods | None = None,
    caller: Caller = SYSTEM,
) -> Order:
    """End a locked order, CANCELLED or REJECTED: the rest of its money and its pieces go back.

    `orders` are those of its group, as `lock_whole` gives them. `goods` is given when its courier says that nobody can
    deliver it; what is OUT_FOR_DELIVERY ends only so. `caller` is whom the audit log names. Raises IllegalTransition.
    """
    lines = stock_lines(order)
    is_out = order.state is OrderState.OUT_FOR_DELIVERY
    order.steps.check(order.state, state)
    if is_out == (goods in (None, Goods.KEPT_BACK)):
        raise RuntimeError(f"order {order.order_id} is {order.state}, and its goods cannot be {goods}")
    worth = order.due_minor - order.refund_reserved_minor
    after = await write_end(uow, order, state=state, reason=reason, note=note, actor=actor, goods=goods, caller=caller)
    await settle_money(uow, orders, after, worth)
    await give_back_codes(uow, orders, [after])
    if not is_out:
        await inventory.release(uow, lines, order.order_id)
    elif goods is Goods.RETURNED:
        await inventory.put_back(uow, lines, order.order_id)
    return after


async def write_end(
    uow: UnitOfWork,
    order: Order,
    *,
    state: OrderState = OrderState.CANCELLED,
    reason: CancellationReason,
    note: str = "",
    actor: CancellationActor = CancellationActor.SYSTEM,
    goods: Goods | None = None,
    caller: Caller = SYSTEM,
) -> Order:
    """The order's own part of its end: state, items, cancellation, event and audit entry. The caller of this gives the
    money back and, once for all orders that end here, the promo codes and the pieces.
    """
    pieces = all_left(order)
    worth = order.due_minor - order.refund_reserved_minor
    fields = cancelled_fields(uow, order, pieces, worth, reason=reason, note=note, actor=actor)
    event = OrderRejected if state is OrderState.REJECTED else OrderCancelled
    told = {"reason": reason.value, "actor": actor.value}
    after = await transition(uow, order, event, told, state=state, goods=goods, **fields)
    await record(uow, caller, order, after, reason.value)
    return after


async def record(uow: UnitOfWork, caller: Caller, before: Order, after: Order, comment: str) -> None:
    """The audit entry of what was cancelled. What the marketplace does by itself is no call of anybody's."""
    act = Act.END_ORDER if caller is SYSTEM else None
    await log.record(uow, caller, "order", after.order_id, comment, before=before, after=after, act=act)


async def hand_over(uow: UnitOfWork, order: Order, **fields: Any) -> Order:
    """A locked order that is prepared and of which nothing is left that is sent: the buyer has it, and its pieces leave
    the stock. `fields` as in `transition`.
    """
    after = await transition(uow, order, OrderDelivered, state=OrderState.DELIVERED, **fields)
    await inventory.ship(uow, stock_lines(after), after.order_id)
    return after


async def settle_money(uow: UnitOfWork, orders: Sequence[Order], after: Order, worth: int) -> None:
    """`worth` was taken off the order `after`: give it back where it was paid, else ask the buyer for less.

    orders: those of the locked group as they were.
    """
    group_id = after.order_group_id
    if after.is_paid:
        if worth:
            # The note stays with the cancellation: who sees a refund need not be who may read it.
            rejected = after.state is OrderState.REJECTED
            text = "Order rejected." if rejected else "Order cancelled."
            await payments.refund(uow, group_id, [RefundShare(after.order_id, worth)], text)
        return
    waiting = [
        order
        for order in (after if one.order_id == after.order_id else one for one in orders)
        if order.state is OrderState.PENDING_PAYMENT
    ]
    if waiting:
        due = sum(order.due_minor for order in waiting)
        await payments.change_amount(uow, group_id, Money(due, after.currency))
        if not due:
            enqueue_free(uow, group_id)
    else:
        await payments.cancel_open(uow, group_id)


def enqueue_free(uow: UnitOfWork, order_group_id: UUID) -> None:
    """Have the group's waiting orders become PAID, of which nothing is to be paid any more: nobody could pay that."""
    key = str(order_group_id)
    uow.enqueue(Job(kind=PAY_FREE, payload={"order_group_id": key}, dedup_key=f"{PAY_FREE}:{key}"))


def all_left(order: Order) -> dict[UUID, int]:
    """The pieces of each line that are not cancelled yet."""
    return {item.item_id: item.left for item in order.items if item.left}


def stock_lines(order: Order, pieces: Mapping[UUID, int] | None = None) -> list[StockLine]:
    """The pieces as the stock knows them; all that are not cancelled yet, unless some are named."""
    counts = all_left(order) if pieces is None else pieces
    return [StockLine(item.variant_id, counts[item.item_id]) for item in order.items if item.item_id in counts]


def cancelled_fields(
    uow: UnitOfWork,
    order: Order,
    pieces: Mapping[UUID, int],
    worth: int,
    *,
    reason: CancellationReason,
    note: str,
    actor: CancellationActor,
) -> dict[str, Any]:
    """What changes of an order when these pieces of it are cancelled: paid money is set aside for its refund, unpaid
    money is not due any more. pieces: more than 0 each.
    """
    gone = [item for item in order.items if item.item_id in pieces]
    cancellation = Cancellation(
        lines=tuple(
            CancelledPieces(item.item_id, pieces[item.item_id], item.worth_minor(pieces[item.item_id])) for item in gone
        ),
        reason=reason,
        note=note,
        actor=actor,
        # What was cancelled before and could not go back goes back now, and is cancelled once all the same.
        amount_minor=min(worth, order.total_minor - order.cancelled_amount_minor),
        cancel_time=uow.now,
    )
    due, reserved = order.due_minor, order.refund_reserved_minor
    due, reserved = (due, reserved + worth) if order.is_paid else (due - worth, reserved)
    return {
        "items": tuple(_without(item, pieces) for item in order.items),
        "due_minor": due,
        "refund_reserved_minor": reserved,
        "cancellations": (*order.cancellations, cancellation),
    }


def _without(item: OrderItem, pieces: Mapping[UUID, int]) -> OrderItem:
    return replace(item, cancelled_quantity=item.cancelled_quantity + pieces.get(item.item_id, 0))
