"""RejectOrder: the seller refuses a paid order."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.order import repository
from marketd.order.access import viewer_of
from marketd.order.cancel import check_reason, ended_so
from marketd.order.end import end_order, lock_whole
from marketd.order.model import CancellationActor, CancellationReason, OrderState
from marketd.order.values import Order


@dataclass(frozen=True, slots=True)
class RejectOrder:
    """Refuse an order; an empty etag means whatever happened to it."""

    order_id: UUID
    reason: CancellationReason
    note: str
    etag: str


async def reject_order(uow: UnitOfWork, caller: Caller, command: RejectOrder) -> Order:
    """Refuse a PAID order: it is REJECTED, and stock and money go back.

    One that is rejected so already is given as it is, also to a stale etag. Raises NotFound, EtagMismatch,
    IllegalTransition, and ValidationFailed for a reason that is not a seller's to give.
    """
    seen = await repository.read(uow.connection, command.order_id)
    if seen is None or not viewer_of(caller, seen).is_seller:
        raise NotFound("order", command.order_id)
    check_reason(command.reason, CancellationActor.SELLER)
    orders, order = await lock_whole(uow, command.order_id)
    if order.state is OrderState.REJECTED and ended_so(order, command.reason, command.note, CancellationActor.SELLER):
        return order
    check_etag(command.etag, order.version)
    return await end_order(
        uow,
        orders,
        order,
        state=OrderState.REJECTED,
        reason=command.reason,
        note=command.note,
        actor=CancellationActor.SELLER,
        caller=caller,
    )
