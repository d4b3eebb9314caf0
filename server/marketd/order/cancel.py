"""Cancelling an order or some of its lines, before the courier has it.

Buyer, seller and admins may cancel until the order is OUT_FOR_DELIVERY. Pieces go back to the stock and money that was
taken goes back by a refund; of unpaid orders the payment becomes smaller, or is given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from marketd.inventory import service as inventory
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, IllegalTransition, NotFound, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.order import repository
from marketd.order.access import Viewer, viewer_of
from marketd.order.cancellations import MAX_CANCELLATIONS
from marketd.order.end import (
    all_left,
    cancelled_fields,
    end_order,
    hand_over,
    lock_whole,
    record,
    settle_money,
    stock_lines,
)
from marketd.order.errors import TooManyCancellations, TooManyPieces
from marketd.order.events import OrderLinesCancelled
from marketd.order.model import CANCELLABLE, REASONS, CancellationActor, CancellationReason, OrderState
from marketd.order.transition import transition
from marketd.order.values import Order

_NONE: Final = CancellationReason.UNSPECIFIED


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
    """Cancel; the order is CANCELLED when nothing of it is left, and DELIVERED when it is READY and nothing of what is
    left needs a courier.

    What is cancelled already as the command says is given as it is, also to a stale etag. Raises NotFound for the order
    or a line, EtagMismatch, IllegalTransition, TooManyPieces, TooManyCancellations, and ValidationFailed for a reason
    that is not the caller's to give and for a line that is named twice.
    """
    seen = await repository.read(uow.connection, command.order_id)
    # Judged before any lock, so that strangers cannot make others wait; who an order belongs to never changes.
    actor = None if seen is None else _actor(viewer_of(caller, seen))
    if actor is None:
        raise NotFound("order", command.order_id)
    check_reason(command.reason, actor)
    orders, order = await lock_whole(uow, command.order_id)
    if _is_done(order, command, actor):
        return order
    check_etag(command.etag, order.version)
    if order.state not in CANCELLABLE:
        # Only who brings it can say that nobody can.
        further = [state for state in order.steps.allowed(order.state) if state != OrderState.CANCELLED.value]
        message = f"The order is {order.state.value}; it cannot be cancelled any more." if further else ""
        raise IllegalTransition("order", order.state.value, further, message)

    pieces = _pieces(order, command.lines)
    left = order.due_minor - order.refund_reserved_minor
    worth = sum(item.worth_minor(pieces.get(item.item_id, 0)) for item in order.items)
    if _ends_sending(order, pieces):
        worth += order.delivery_cost_minor
    worth = min(worth, left)
    # What costs nothing any more is not prepared either.
    if pieces == all_left(order) or (order.is_paid and 0 < left == worth):
        return await end_order(uow, orders, order, reason=command.reason, note=command.note, actor=actor, caller=caller)
    if len(order.cancellations) >= MAX_CANCELLATIONS - 1:
        raise TooManyCancellations
    fields = cancelled_fields(uow, order, pieces, worth, reason=command.reason, note=command.note, actor=actor)
    after = await transition(uow, order, OrderLinesCancelled, **fields)
    await settle_money(uow, orders, after, worth)
    is_handed_over = order.state is OrderState.READY and not after.needs_courier
    if is_handed_over:
        # Some get pieces back and others are shipped from: in two statements, whose rows have one order all the same.
        await inventory.lock_stocks(uow, [item.variant_id for item in order.items])
    await inventory.release(uow, stock_lines(order, pieces), order.order_id)
    if is_handed_over:
        after = await hand_over(uow, after, courier_id=None, courier_user_id=None)
    await record(uow, caller, order, after, f"{command.reason.value}, {sum(pieces.values())} pieces")
    return after


def _ends_sending(order: Order, pieces: Mapping[UUID, int]) -> bool:
    """Whether these are the last pieces that are sent."""
    return order.needs_courier and all(
        item.left == pieces.get(item.item_id, 0) for item in order.items if item.requires_shipping
    )


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
    return order.state is OrderState.CANCELLED and ended_so(order, command.reason, command.note, actor)


def ended_so(order: Order, reason: CancellationReason, note: str, actor: CancellationActor) -> bool:
    """Whether the last cancellation of an order that is cancelled or rejected is this one."""
    last = order.cancellations[-1]
    return (last.reason, last.note, last.actor) == (reason, note, actor)


def check_reason(reason: CancellationReason, actor: CancellationActor) -> None:
    """Raises ValidationFailed for a reason that is not this actor's to give."""
    allowed = REASONS[actor]
    if reason not in allowed:
        names = ", ".join(one.value for one in CancellationReason if one in allowed and one is not _NONE)
        raise ValidationFailed(FieldViolation("reason", f"must be one of: {names}"))


def _pieces(order: Order, lines: tuple[CancelledLine, ...]) -> dict[UUID, int]:
    """How many pieces of each line to cancel; without lines, all that are left."""
    if not lines:
        return all_left(order)
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
