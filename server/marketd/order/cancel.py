"""Cancelling an order or some of its lines, before the courier has it.

Buyer, seller and admins may cancel until the order is OUT_FOR_DELIVERY. Pieces go back to the stock and money that was
taken goes back by a refund; of unpaid orders the payment becomes smaller, or is given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from marketd.audit import log
from marketd.inventory import service as inventory
from marketd.inventory.values import StockLine
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.money import Money
from marketd.order import repository
from marketd.order.access import Viewer, viewer_of
from marketd.order.errors import TooManyPieces
from marketd.order.events import OrderCancelled, OrderLinesCancelled
from marketd.order.model import TRANSITIONS, CancellationActor, CancellationReason, OrderState
from marketd.order.transition import transition
from marketd.order.values import Order, OrderItem
from marketd.payment import service as payments
from marketd.payment.ports import RefundShare


@dataclass(frozen=True, slots=True)
class CancelledLine:
    """A line to cancel; a quantity of None means all that is left of it."""

    item_id: UUID
    quantity: int | None


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel an order, or only `lines` of it when there are some; an empty etag means whatever happened to it.

    lines: unique item ids.
    """

    order_id: UUID
    lines: tuple[CancelledLine, ...]
    reason: CancellationReason
    note: str
    etag: str


async def cancel_order(uow: UnitOfWork, caller: Caller, command: CancelOrder) -> Order:
    """Cancel; the order is CANCELLED when nothing of it is left.

    What is cancelled already as the command says is given as it is, also to a stale etag. Raises NotFound for the order
    or a line, EtagMismatch, IllegalTransition, TooManyPieces, and ValidationFailed for a line that is named twice.
    """
    group_id = await repository.group_of(uow.connection, command.order_id)
    if group_id is None:
        raise NotFound("order", command.order_id)
    seen = await repository.read(uow.connection, command.order_id)
    # Judged before any lock, so that strangers cannot make others wait; who an order belongs to never changes.
    actor = None if seen is None else _actor(viewer_of(caller, seen))
    if actor is None:
        raise NotFound("order", command.order_id)
    await repository.lock_group(uow.connection, group_id)
    await payments.lock_group_payments(uow, group_id)
    orders = await repository.lock_orders(uow.connection, group_id)
    order = next(one for one in orders if one.order_id == command.order_id)
    if _is_done(order, command, actor):
        return order
    check_etag(command.etag, order.version)
    TRANSITIONS.check(order.state, OrderState.CANCELLED)

    pieces = _pieces(order, command.lines)
    is_whole = all(item.left == pieces.get(item.item_id, 0) for item in order.items)
    worth = order.due_minor - order.refund_reserved_minor if is_whole else _worth(order, pieces)
    worth = min(worth, order.due_minor - order.refund_reserved_minor)
    await inventory.release(uow, _lines(order, pieces), order.order_id)
    after = await _cancelled(uow, order, command, actor, pieces, worth=worth, is_whole=is_whole)
    if order.is_paid:
        if worth:
            await payments.refund(
                uow, group_id, [RefundShare(order.order_id, worth)], command.note or "Order cancelled."
            )
    else:
        waiting = await repository.read_waiting(uow.connection, group_id)
        if waiting.count:
            await payments.change_amount(uow, group_id, Money(waiting.due_minor, order.currency))
        else:
            await payments.cancel_open(uow, group_id)
    detail = command.reason.value if is_whole else f"{command.reason.value}, {sum(pieces.values())} pieces"
    await log.record(uow, caller, "order", order.order_id, detail)
    return after


def _actor(viewer: Viewer) -> CancellationActor | None:
    if viewer.is_buyer:
        return CancellationActor.BUYER
    if viewer.is_seller:
        return CancellationActor.SELLER
    return CancellationActor.ADMIN if viewer.is_admin else None


def _is_done(order: Order, command: CancelOrder, actor: CancellationActor) -> bool:
    """Whether nothing is left to do of the command. How many pieces of a line it has cancelled, nobody can tell."""
    if command.lines:
        left = {item.item_id: item.left for item in order.items}
        return all(line.quantity is None and left.get(line.item_id) == 0 for line in command.lines)
    before = (order.cancel_reason, order.cancel_note, order.cancel_actor)
    return order.state is OrderState.CANCELLED and before == (command.reason, command.note, actor)


def _pieces(order: Order, lines: tuple[CancelledLine, ...]) -> dict[UUID, int]:
    """How many pieces of each line to cancel; without lines, all that are left."""
    if not lines:
        return {item.item_id: item.left for item in order.items}
    items = {item.item_id: item for item in order.items}
    pieces: dict[UUID, int] = {}
    for index, line in enumerate(lines):
        item = items.get(line.item_id)
        if item is None:
            raise NotFound("order item", line.item_id)
        if item.item_id in pieces:
            # The contract's rule compares texts, and in ids case does not count.
            raise ValidationFailed(FieldViolation(f"lines[{index}].item_id", "each line may be named once"))
        wanted = item.left if line.quantity is None else line.quantity
        if wanted > item.left or not item.left:
            raise TooManyPieces(index, item.left)
        pieces[item.item_id] = wanted
    return pieces


def _worth(order: Order, pieces: Mapping[UUID, int]) -> int:
    return sum(item.worth_minor(pieces[item.item_id]) for item in order.items if item.item_id in pieces)


def _lines(order: Order, pieces: Mapping[UUID, int]) -> list[StockLine]:
    return [StockLine(item.variant_id, pieces[item.item_id]) for item in order.items if pieces.get(item.item_id)]


def _with_cancelled(item: OrderItem, pieces: Mapping[UUID, int]) -> OrderItem:
    return replace(item, cancelled_quantity=item.cancelled_quantity + pieces.get(item.item_id, 0))


async def _cancelled(
    uow: UnitOfWork,
    order: Order,
    command: CancelOrder,
    actor: CancellationActor,
    pieces: Mapping[UUID, int],
    *,
    worth: int,
    is_whole: bool,
) -> Order:
    """The order after it: paid money is set aside for its refund, unpaid money is not due any more."""
    items = tuple(_with_cancelled(item, pieces) for item in order.items)
    due, reserved = order.due_minor, order.refund_reserved_minor
    due, reserved = (due, reserved + worth) if order.is_paid else (due - worth, reserved)
    if not is_whole:
        return await transition(
            uow, order, OrderLinesCancelled, items=items, due_minor=due, refund_reserved_minor=reserved
        )
    return await transition(
        uow,
        order,
        OrderCancelled,
        {"reason": command.reason.value, "actor": actor.value},
        state=OrderState.CANCELLED,
        items=items,
        due_minor=due,
        refund_reserved_minor=reserved,
        cancel_reason=command.reason,
        cancel_note=command.note,
        cancel_actor=actor,
    )
