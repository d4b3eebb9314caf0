"""Which step of an order's story an event is, and who took it. Pure but for the call that it happens in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.order import events
from marketd.order.history.model import OrderEventActor, OrderEventKind
from marketd.order.history.values import OrderStep
from marketd.order.values import Order

_Kind = OrderEventKind
KINDS: Final[Mapping[type[events.OrderEvent], OrderEventKind]] = {
    events.OrderPlaced: _Kind.PLACED,
    events.OrderPaid: _Kind.PAID,
    events.OrderAccepted: _Kind.ACCEPTED,
    events.OrderReady: _Kind.READY,
    events.OrderDeliveryMade: _Kind.DELIVERY_CREATED,
    events.OrderCourierAssigned: _Kind.COURIER_ASSIGNED,
    events.OrderCourierWithdrawn: _Kind.COURIER_WITHDRAWN,
    events.OrderOutForDelivery: _Kind.OUT_FOR_DELIVERY,
    events.OrderDelivered: _Kind.DELIVERED,
    events.OrderLinesCancelled: _Kind.LINES_CANCELLED,
    events.OrderCancelled: _Kind.CANCELLED,
    events.OrderRejected: _Kind.REJECTED,
    events.OrderExpired: _Kind.EXPIRED,
    events.OrderRefunded: _Kind.REFUNDED,
}
_DETAIL: Final = ("payment_id", "prep_duration", "expected_ready_time", "delivery_id", "courier_id", "amount_minor")
"""Which further fields of events are kept."""
_KEPT: Final = {
    kind: tuple(name for name in _DETAIL if name in kind.__dataclass_fields__ and kind is not events.OrderReady)
    for kind in KINDS
}
_BY_COURIER: Final = frozenset(
    {_Kind.OUT_FOR_DELIVERY, _Kind.DELIVERED, _Kind.COURIER_ASSIGNED, _Kind.COURIER_WITHDRAWN}
)
_BY_SYSTEM: Final = frozenset({_Kind.EXPIRED, _Kind.REFUNDED})
"""What comes of itself, also when it is somebody's call in which it is noticed."""


def step_of(event: events.OrderEvent, before: Order, after: Order) -> OrderStep:
    """The step that the event tells of; it is taken in the current call."""
    kind = KINDS[type(event)]
    detail: dict[str, object] = {name: getattr(event, name) for name in _KEPT[type(event)]}
    if len(after.cancellations) > len(before.cancellations):
        detail["cancellation"] = len(after.cancellations) - 1
        actor = OrderEventActor(after.cancellations[-1].actor.value)
    else:
        actor = actor_of(kind, before, after, calls.current_caller())
    return OrderStep(kind, actor, before.state, detail)


def actor_of(kind: OrderEventKind, before: Order, after: Order, caller: Caller) -> OrderEventActor:
    """As what the caller took the step: somebody may be several things to an order."""
    account = caller.user_id
    if kind in _BY_SYSTEM or caller is SYSTEM or account is None:
        return OrderEventActor.SYSTEM
    if kind in _BY_COURIER and account in (before.courier_user_id, after.courier_user_id) and caller.has(Role.COURIER):
        return OrderEventActor.COURIER
    if kind is OrderEventKind.PAID and account == after.buyer_id:
        return OrderEventActor.BUYER
    if account == after.owner_user_id and kind in (_Kind.ACCEPTED, _Kind.READY, _Kind.DELIVERED):
        return OrderEventActor.SELLER
    if caller.has(Role.SERVICE):
        return OrderEventActor.SERVICE
    return OrderEventActor.ADMIN if caller.has(Role.ADMIN) else OrderEventActor.SYSTEM
