"""What orders set off here: the relay hands their events to these handlers, each in a transaction of its own."""

from __future__ import annotations

import secrets
from uuid import UUID

import structlog

from marketd.audit import log
from marketd.audit.call import Act
from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryCreated
from marketd.delivery.model import ENDS, DeliveryOutcome, StopKind
from marketd.delivery.repository import deliveries
from marketd.delivery.transition import change, close, emit_eta, make_event
from marketd.delivery.values import Delivery, Stop
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import StoredEvent, read_event
from marketd.kernel.events.relay import EventHandler
from marketd.kernel.values.ids import new_id
from marketd.order import service as order
from marketd.order.events import OrderCancelled, OrderLinesCancelled, OrderReady

_log = structlog.get_logger(__name__)

CODE_DIGITS = 6


def new_code() -> str:
    """A fresh drop-off code: six digits, easy to say at a door."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


class OrderFollower:
    """The handlers, with the pace that first estimates are made at."""

    def __init__(self, *, pace: Pace) -> None:
        self._pace = pace

    def handlers(self) -> list[tuple[str, str, EventHandler]]:
        """Event type, stable name and handler of each; app.py registers them with the relay."""
        return [
            (OrderReady.event_type, "delivery.create", self.create),
            (OrderLinesCancelled.event_type, "delivery.recount", self.recount),
            (OrderCancelled.event_type, "delivery.cancel", self.cancel),
        ]

    async def create(self, uow: UnitOfWork, stored: StoredEvent) -> None:
        """An order is ready: make its delivery, once, unless it ended meanwhile. The event has no addresses."""
        ready = read_event(OrderReady, stored)
        if await deliveries.exists_of_order(uow.connection, ready.order_id):
            return
        delivery_id = new_id()
        found = await order.delivery_made(uow, ready.order_id, delivery_id)
        if found is None:
            return
        pickup, dropoff = Stop(StopKind.PICKUP, found.pickup), Stop(StopKind.DROPOFF, found.address)
        new = Delivery(
            delivery_id=delivery_id,
            order_id=found.order_id,
            order_number=found.order_number,
            seller_id=found.seller_id,
            owner_user_id=found.owner_user_id,
            buyer_id=found.buyer_id,
            dropoff_code=new_code(),
            pickup=pickup,
            dropoff=dropoff,
            eta=self._pace.before_pickup(uow.now, found.ready_time, None, pickup.point, dropoff.point),
            fee_minor=found.delivery_fee_minor,
            currency=found.currency,
            item_count=sum(item.left for item in found.items),
            ready_time=found.ready_time,
            create_time=uow.now,
            update_time=uow.now,
        )
        if not await deliveries.insert(uow.connection, new):
            # Somebody else made it between the look and the order's lock; the order must not name ours.
            raise ConcurrentUpdate
        people = {"seller_id": new.seller_id, "buyer_id": new.buyer_id}
        uow.emit(make_event(DeliveryCreated, new, new.state, uow.now, people))
        emit_eta(uow, new)

    async def recount(self, uow: UnitOfWork, stored: StoredEvent) -> None:
        """Some pieces of an order were cancelled: its delivery has fewer, or nothing to bring any more."""
        delivery_id = await deliveries.open_of_order(uow.connection, stored.aggregate_id)
        before = await deliveries.lock(uow.connection, delivery_id) if delivery_id is not None else None
        found = await order.read_order_for_delivery(uow, stored.aggregate_id)
        if before is None or not before.state.is_open or found is None:
            return
        if found.is_handed_over:
            await close_cancelled(uow, before.delivery_id, "Nothing of the order needs shipping any more.")
            return
        left = sum(item.left for item in found.items)
        if left != before.item_count:
            await change(uow, before, None, item_count=left)

    async def cancel(self, uow: UnitOfWork, stored: StoredEvent) -> None:
        """An order was cancelled: nobody needs to fetch it any more."""
        delivery_id = await deliveries.open_of_order(uow.connection, stored.aggregate_id)
        if delivery_id is not None:
            await close_cancelled(uow, delivery_id, "The order was cancelled.")


async def close_cancelled(uow: UnitOfWork, delivery_id: UUID, comment: str) -> None:
    """Close the delivery as CANCELLED, if its courier does not have the goods yet.

    An order that is OUT_FOR_DELIVERY is cancelled with its delivery only, and a delivery cannot be picked up once its
    order is cancelled; a picked-up one here would mean that the two disagree, and is left for people to see
    (invariants.py).
    """
    before = await deliveries.lock(uow.connection, delivery_id)
    if before is None or not before.state.is_open:
        return
    if before.state not in ENDS[DeliveryOutcome.CANCELLED]:
        _log.error("cancelled_order_was_picked_up", delivery_id=str(delivery_id), state=before.state.value)
        return
    after = await close(uow, before, DeliveryOutcome.CANCELLED)
    await log.record(uow, SYSTEM, "delivery", delivery_id, comment, before=before, after=after, act=Act.END_DELIVERY)
