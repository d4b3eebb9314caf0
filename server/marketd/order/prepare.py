"""What the seller does with a paid order: accepts it, and says when it is ready."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.order import repository
from marketd.order.access import viewer_of
from marketd.order.end import hand_over
from marketd.order.events import OrderAccepted, OrderReady
from marketd.order.model import OrderState
from marketd.order.transition import transition
from marketd.order.values import Order


@dataclass(frozen=True, slots=True)
class AcceptOrder:
    """Take an order on; `prep_duration` None means the seller's usual, an empty etag whatever happened to it."""

    order_id: UUID
    prep_duration: timedelta | None
    etag: str


async def accept_order(uow: UnitOfWork, caller: Caller, command: AcceptOrder) -> Order:
    """Take a PAID order on. Raises NotFound, EtagMismatch and IllegalTransition.

    One that is accepted with this preparation time already is given as it is, also to a stale etag: whoever repeats a
    call whose answer was lost has the etag from before.
    """
    order = await _lock_own(uow, caller, command.order_id)
    span = order.usual_prep_duration if command.prep_duration is None else command.prep_duration
    if order.state is OrderState.ACCEPTED and order.prep_duration == span:
        return order
    check_etag(command.etag, order.version)
    return await transition(
        uow,
        order,
        OrderAccepted,
        state=OrderState.ACCEPTED,
        prep_duration=span,
        # Also one that is accepted the evening before is prepared from the opening on, as the buyer was told.
        expected_ready_time=max(uow.now, order.shop_open_time or uow.now) + span,
    )


async def mark_order_ready(uow: UnitOfWork, caller: Caller, order_id: UUID, etag: str) -> Order:
    """Say that an ACCEPTED order is prepared; one that is READY already is given as it is, also to a stale etag.

    Nobody brings what needs no shipping: with that the buyer has it, the pieces leave the stock, and the order is
    DELIVERED. So it is where only such lines are left: a courier would find nothing to fetch. Raises NotFound,
    EtagMismatch and IllegalTransition.
    """
    order = await _lock_own(uow, caller, order_id)
    if order.state is OrderState.READY or (order.state is OrderState.DELIVERED and order.is_handed_over):
        return order
    check_etag(etag, order.version)
    if order.state is OrderState.ACCEPTED and not order.needs_courier:
        return await hand_over(uow, order, ready_time=uow.now)
    told = {"item_count": sum(item.left for item in order.items)}
    return await transition(uow, order, OrderReady, told, state=OrderState.READY)


async def _lock_own(uow: UnitOfWork, caller: Caller, order_id: UUID) -> Order:
    order = await repository.lock(uow.connection, order_id)
    if order is None or not viewer_of(caller, order).is_seller:
        raise NotFound("order", order_id)
    return order
