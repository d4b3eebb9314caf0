"""What orders set off here: the relay hands their events to these handlers, each in a transaction of its own."""

from __future__ import annotations

import secrets
from uuid import UUID

import structlog

from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryCreated
from marketd.delivery.model import ENDS, DeliveryOutcome, StopKind
from marketd.delivery.repository import deliveries
from marketd.delivery.transition import change, close, emit_eta, make_event
from marketd.delivery.values import Delivery, Stop
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import StoredEvent, read_event
from marketd.kernel.events.relay import EventHandler
from marketd.kernel.values.address import Address
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
        """An order is ready: make its delivery, once."""
        ready = read_event(OrderReady, stored)
        pickup = Stop(StopKind.PICKUP, Address.from_json(ready.pickup) if ready.pickup is not None else None)
        dropoff = Stop(StopKind.DROPOFF, Address.from_json(ready.dropoff))
        new = Delivery(
            delivery_id=new_id(),
            order_id=ready.order_id,
            order_number=ready.order_number,
            seller_id=ready.seller_id,
            owner_user_id=ready.owner_user_id,
            buyer_id=ready.buyer_id,
            dropoff_code=new_code(),
            pickup=pickup,
            dropoff=dropoff,
            eta=self._pace.before_pickup(uow.now, ready.ready_time, None, pickup.point, dropoff.point),
            fee_minor=ready.delivery_fee_minor,
            currency=ready.currency,
            item_count=ready.item_count,
            ready_time=ready.ready_time,
            create_time=uow.now,
            update_time=uow.now,
        )
        if not await deliveries.insert(uow.connection, new):
            return
        people = {"seller_id": new.seller_id, "buyer_id": new.buyer_id}
        uow.emit(make_event(DeliveryCreated, new, new.state, uow.now, people))
        emit_eta(uow, new)

    async def recount(self, uow: UnitOfWork, stored: StoredEvent) -> None:
        """Some pieces of an order were cancelled: its delivery has fewer."""
        delivery_id = await deliveries.open_of_order(uow.connection, stored.aggregate_id)
        before = await deliveries.lock(uow.connection, delivery_id) if delivery_id is not None else None
        found = await order.read_order_for_delivery(uow, stored.aggregate_id)
        if before is None or not before.state.is_open or found is None:
            return
        left = sum(item.left for item in found.items)
        if left != before.item_count:
            await change(uow, before, None, item_count=left)

    async def cancel(self, uow: UnitOfWork, stored: StoredEvent) -> None:
        """An order was cancelled: nobody needs to fetch it any more."""
        delivery_id = await deliveries.open_of_order(uow.connection, stored.aggregate_id)
        if delivery_id is not None:
            await cancel_delivery(uow, delivery_id)


async def cancel_delivery(uow: UnitOfWork, delivery_id: UUID) -> None:
    """Close the delivery as CANCELLED, if its courier does not have the goods yet.

    An order cannot be cancelled once it is OUT_FOR_DELIVERY, and a delivery cannot be picked up once its order is
    cancelled; a picked-up one here would mean that the two disagree, and is left for people to see (invariants.py).
    """
    before = await deliveries.lock(uow.connection, delivery_id)
    if before is None or not before.state.is_open:
        return
    if before.state not in ENDS[DeliveryOutcome.CANCELLED]:
        _log.error("cancelled_order_was_picked_up", delivery_id=str(delivery_id), state=before.state.value)
        return
    await close(uow, before, DeliveryOutcome.CANCELLED)
