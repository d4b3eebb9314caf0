"""The steps of orders as messages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from marketplace.order.v1 import order_event_pb2 as pb

from marketd.kernel.call.caller import Caller
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.events import Json
from marketd.kernel.wire import to_duration, to_money, to_timestamp
from marketd.order.access import viewer_of
from marketd.order.convert import STATES, to_cancellation
from marketd.order.history.model import OrderEventActor, OrderEventKind
from marketd.order.history.values import OrderEvent
from marketd.order.values import Order

_KINDS: Final = EnumMap(OrderEventKind, pb.OrderEventKind)
_ACTORS: Final = EnumMap(OrderEventActor, pb.OrderEventActor)


def to_order_event(order: Order, event: OrderEvent, caller: Caller) -> pb.OrderEvent:
    """marketplace.order.v1.OrderEvent, as far as this caller may see it. order: as it is now."""
    message = pb.OrderEvent(
        order_id=str(event.order_id),
        number=event.number,
        kind=_KINDS.to_wire(event.kind),
        actor=_ACTORS.to_wire(event.actor),
        previous_state=STATES.to_wire(event.previous_state),
        state=STATES.to_wire(event.state),
        occur_time=to_timestamp(event.occur_time),
    )
    detail = event.detail
    place = detail.get("cancellation")
    if isinstance(place, int):
        if place < len(order.cancellations):
            cancellation = to_cancellation(order, order.cancellations[place], viewer_of(caller, order))
            message.cancellation.CopyFrom(cancellation)
        return message
    match event.kind:
        case OrderEventKind.PLACED:
            message.placed.total.CopyFrom(to_money(order.money(order.total_minor)))
            message.placed.item_count = sum(item.quantity for item in order.items)
        case OrderEventKind.PAID if "payment_id" in detail:
            message.paid.payment_id = str(detail["payment_id"])
        case OrderEventKind.ACCEPTED if "prep_duration" in detail:
            message.accepted.prep_duration.CopyFrom(to_duration(timedelta(seconds=_number(detail["prep_duration"]))))
            ready = datetime.fromisoformat(str(detail["expected_ready_time"]))
            message.accepted.expected_ready_time.CopyFrom(to_timestamp(ready))
        case OrderEventKind.DELIVERY_CREATED if "delivery_id" in detail:
            message.delivery_created.delivery_id = str(detail["delivery_id"])
        case OrderEventKind.COURIER_ASSIGNED if "delivery_id" in detail:
            message.courier_assigned.delivery_id = str(detail["delivery_id"])
            message.courier_assigned.courier_id = str(detail.get("courier_id") or "")
        case OrderEventKind.REFUNDED if "amount_minor" in detail:
            message.refunded.amount.CopyFrom(to_money(order.money(int(_number(detail["amount_minor"])))))
    return message


def _number(value: Json) -> float:
    if not isinstance(value, int | float):
        raise TypeError("a step has a text where a number should be")
    return value
