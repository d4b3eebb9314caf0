"""How a delivery ends otherwise than at the buyer's door: cancelled, failed, or returned to the seller.

Its order ends with it, in the same transaction: CANCELLED as UNDELIVERABLE, with the money back. What happens to the
goods follows from where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.audit import log
from marketd.delivery.events import DeliveryReturned
from marketd.delivery.model import (
    DeliveryActor,
    DeliveryOutcome,
    FailureReason,
    check_end,
    not_so,
)
from marketd.delivery.occurred import happened_at
from marketd.delivery.repository import deliveries
from marketd.delivery.transition import change, close
from marketd.delivery.values import Delivery, Failure
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.order import service as order
from marketd.order.model import CancellationActor, Goods


@dataclass(frozen=True, slots=True)
class EndDelivery:
    """Ends a delivery; an empty etag means whatever happened to it."""

    delivery_id: UUID
    reason: FailureReason
    note: str
    occurred_time: datetime | None
    etag: str


async def cancel_delivery(uow: UnitOfWork, caller: Caller, command: EndDelivery) -> Delivery:
    """Give a delivery up before the pickup. One that was cancelled so stays as it is.

    The access table lets only admins come here. Raises NotFound, EtagMismatch, IllegalTransition.
    """
    before, failure = await _lock(uow, caller, command)
    if _stands(before, DeliveryOutcome.CANCELLED, failure):
        return before
    check_etag(command.etag, before.version)
    check_end(before.state, DeliveryOutcome.CANCELLED)
    return await _end(uow, caller, before, DeliveryOutcome.CANCELLED, failure, Goods.KEPT_BACK, uow.now)


async def fail_delivery(uow: UnitOfWork, caller: Caller, command: EndDelivery) -> Delivery:
    """Say that the goods do not reach the buyer: couriers of what they have in hands, admins of all that is open.

    One that failed so stays as it is. Raises NotFound unless it is the caller's or an admin calls, EtagMismatch,
    IllegalTransition, TimeInFuture, TimeBeforeStep.
    """
    before, failure = await _lock(uow, caller, command)
    if _stands(before, DeliveryOutcome.FAILED, failure):
        return before
    check_etag(command.etag, before.version)
    check_end(before.state, DeliveryOutcome.FAILED)
    if failure.actor is DeliveryActor.COURIER and not before.state.is_picked_up:
        raise not_so(before.state, "before the pickup an admin ends it, or gives it to somebody else")
    happened = happened_at(uow.now, command.occurred_time, before.state_time)
    goods = Goods.LOST if before.state.is_picked_up else Goods.KEPT_BACK
    return await _end(uow, caller, before, DeliveryOutcome.FAILED, failure, goods, happened)


async def return_to_seller(uow: UnitOfWork, caller: Caller, command: EndDelivery) -> Delivery:
    """Say that the seller has picked-up goods back, of a delivery that is open or has failed: couriers of their own.

    One that was returned so stays as it is. Raises NotFound unless it is the caller's or an admin calls, EtagMismatch,
    IllegalTransition, TimeInFuture, TimeBeforeStep.
    """
    before, failure = await _lock(uow, caller, command)
    if _stands(before, DeliveryOutcome.RETURNED, failure):
        return before
    check_etag(command.etag, before.version)
    has_left = before.outcome is DeliveryOutcome.FAILED and before.pick_up_time is not None
    if not has_left:
        check_end(before.state, DeliveryOutcome.RETURNED)
    happened = happened_at(uow.now, command.occurred_time, before.state_time)
    if not has_left:
        return await _end(uow, caller, before, DeliveryOutcome.RETURNED, failure, Goods.RETURNED, happened)
    await order.goods_returned(uow, before.order_id)
    after = await change(
        uow, before, DeliveryReturned, occurred_time=happened, outcome=DeliveryOutcome.RETURNED, failure=failure
    )
    await log.record(uow, caller, "delivery", after.delivery_id, failure.note, before=before, after=after)
    return after


async def _lock(uow: UnitOfWork, caller: Caller, command: EndDelivery) -> tuple[Delivery, Failure]:
    """The delivery, locked, and why it is to end. Raises NotFound unless it is the caller's or an admin calls.

    Whose it is can change until it is locked.
    """
    found = await deliveries.lock(uow.connection, command.delivery_id)
    is_own = (
        found is not None
        and found.courier is not None
        and found.courier.user_id == caller.user_id
        and caller.has(Role.COURIER)
    )
    if found is None or not (is_own or caller.has(Role.ADMIN)):
        raise NotFound("delivery", command.delivery_id)
    actor = DeliveryActor.COURIER if is_own and not _needs_admin(found, caller) else DeliveryActor.ADMIN
    return found, Failure(command.reason, command.note, actor)


def _needs_admin(delivery: Delivery, caller: Caller) -> bool:
    """Whether somebody who is both courier and admin acts as the latter: where a courier could do nothing."""
    return delivery.state.is_open and not delivery.state.is_picked_up and caller.has(Role.ADMIN)


def _stands(delivery: Delivery, outcome: DeliveryOutcome, failure: Failure) -> bool:
    return delivery.outcome is outcome and delivery.failure == failure


async def _end(
    uow: UnitOfWork,
    caller: Caller,
    before: Delivery,
    outcome: DeliveryOutcome,
    failure: Failure,
    goods: Goods,
    happened: datetime,
) -> Delivery:
    """Close a locked delivery, and end its order."""
    is_admin = failure.actor is DeliveryActor.ADMIN
    # Among those who can end an order a courier is nobody: the marketplace ends it on the courier's word.
    actor = CancellationActor.ADMIN if is_admin else CancellationActor.SYSTEM
    await order.undeliverable(uow, before.order_id, actor=actor, note=failure.note, goods=goods)
    after = await close(uow, before, outcome, occurred_time=happened, failure=failure)
    await log.record(uow, caller, "delivery", after.delivery_id, failure.note, before=before, after=after)
    return after
