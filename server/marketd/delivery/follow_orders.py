"""What orders set off here: the relay hands their events to these handlers, each in a transaction of its own."""

from __future__ import annotations

import secrets
from uuid import UUID

import structlog

from marketd.delivery import repository
from marketd.delivery import transition as moving
from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryClosed, DeliveryCreated
from marketd.delivery.repository import NewDelivery
from marketd.delivery.states import TRANSITIONS, DeliveryState, Step
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import StoredEvent, read_event
from marketd.kernel.events.relay import EventHandler
from marketd.kernel.values.address import Address
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
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
        pickup = Address.from_json(ready.pickup) if ready.pickup is not None else None
        dropoff = Address.from_json(ready.dropoff)
        eta = self._pace.before_pickup(
            uow.now, ready.ready_time, None, pickup.point if pickup is not None else None, dropoff.point
        )
        new = NewDelivery(
            delivery_id=new_id(),
            order_id=ready.order_id,
            order_number=ready.order_number,
            seller_id=ready.seller_id,
            owner_user_id=ready.owner_user_id,
            buyer_id=ready.buyer_id,
            dropoff_code=new_code(),
            pickup=pickup,
            dropoff=dropoff,
            fee=Money(ready.delivery_fee_minor, ready.currency),
            item_count=ready.item_count,
            ready_time=ready.ready_time,
            eta=eta,
        )
        if not await repository.insert(uow.connection, new, uow.now):
            return
        made = await repository.read(uow.connection, new.delivery_id)
        if made is None:
            raise RuntimeError("a delivery of this transaction is gone")
        uow.emit(
            DeliveryCreated(
                seller_id=made.seller_id,
                buyer_id=made.buyer_id,
                **moving.carried(made, DeliveryState.CREATED, uow.now),
            )
        )
        moving.emit_eta(uow, made)

    async def recount(self, uow: UnitOfWork, stored: StoredEvent) -> None:
        """Some pieces of an order were cancelled: its delivery has fewer."""
        delivery_id = await repository.open_of_order(uow.connection, stored.aggregate_id)
        before = await repository.lock(uow.connection, delivery_id) if delivery_id is not None else None
        found = await order.read_order_for_delivery(uow, stored.aggregate_id)
        if before is None or not before.state.is_open or found is None:
            return
        left = sum(item.left for item in found.items)
        if left == before.item_count:
            return
        after = await repository.change(uow.connection, before.delivery_id, uow.now, {"item_count": left})
        moving.tell_courier(uow, before, after)

    async def cancel(self, uow: UnitOfWork, stored: StoredEvent) -> None:
        """An order was cancelled: nobody needs to fetch it any more."""
        delivery_id = await repository.open_of_order(uow.connection, stored.aggregate_id)
        if delivery_id is not None:
            await cancel_delivery(uow, delivery_id)


async def cancel_delivery(uow: UnitOfWork, delivery_id: UUID) -> None:
    """Close the delivery as CANCELLED, if its courier does not have the goods yet.

    An order cannot be cancelled once it is OUT_FOR_DELIVERY, and a delivery cannot be picked up once its order is
    cancelled; a picked-up one here would mean that the two disagree, and is left for people to see (invariants.py).
    """
    before = await repository.lock(uow.connection, delivery_id)
    if before is None or not before.state.is_open:
        return
    transition = TRANSITIONS[Step.CANCEL]
    if before.state not in transition.sources:
        _log.error("cancelled_order_was_picked_up", delivery_id=str(delivery_id), state=before.state.value)
        return
    after = await repository.change(uow.connection, delivery_id, uow.now, moving.columns_of(transition, uow.now))
    uow.emit(DeliveryClosed(**moving.carried(after, before.state, uow.now)))
    moving.tell_courier(uow, before, after)
