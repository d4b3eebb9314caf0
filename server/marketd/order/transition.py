"""The one way to change an order: the new value replaces the locked old one, its step is written into the order's
history, and its event goes into the outbox.

Each change raises the version once, is one step and has one event, so watchers and etags agree on how many there were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from marketd.kernel.call.refusals import IllegalTransition
from marketd.kernel.db.uow import UnitOfWork
from marketd.order import repository
from marketd.order.events import OrderEvent
from marketd.order.history.step import step_of
from marketd.order.model import OrderState
from marketd.order.values import Order

_TIMES: Mapping[OrderState, str] = {
    OrderState.PAID: "pay_time",
    OrderState.ACCEPTED: "accept_time",
    OrderState.READY: "ready_time",
    OrderState.OUT_FOR_DELIVERY: "out_for_delivery_time",
    OrderState.DELIVERED: "deliver_time",
    OrderState.CANCELLED: "cancel_time",
    OrderState.REJECTED: "reject_time",
    OrderState.EXPIRED: "expire_time",
    OrderState.REFUNDED: "refund_time",
}


_FOR_MONEY: Final = frozenset(
    {
        (OrderState.PAID, OrderState.ACCEPTED),
        (OrderState.ACCEPTED, OrderState.READY),
        (OrderState.ACCEPTED, OrderState.DELIVERED),
        (OrderState.READY, OrderState.OUT_FOR_DELIVERY),
    }
)
"""Steps that cost the seller or the courier something: none is taken for nothing."""


def given_back(order: Order) -> IllegalTransition:
    """The refusal of a step with an order whose money is all given back."""
    return IllegalTransition(
        "order",
        order.state.value,
        [],
        f"The order is {order.state.value} and all of its money is given back; nothing more is to be done for it.",
    )


async def transition(
    uow: UnitOfWork,
    order: Order,
    event: type[OrderEvent],
    told: Mapping[str, object] | None = None,
    *,
    state: OrderState | None = None,
    **fields: Any,
) -> Order:
    """Change a locked order: to another state (None keeps it), and in `fields`; emits the event.

    What the event has beyond OrderEvent is taken from `told`, or else from the changed order's field of that name.
    Raises IllegalTransition when the order has no such step.
    """
    if state is not None:
        order.steps.check(order.state, state)
        if (order.state, state) in _FOR_MONEY and order.is_given_back:
            raise given_back(order)
        fields |= {"state": state, _TIMES[state]: uow.now}
    after = replace(order, **fields, version=order.version + 1, update_time=uow.now)
    told_of = make_event(event, after, order.state, told)
    await repository.save(uow.connection, after, order.version, step_of(told_of, order, after))
    if after.items != order.items:
        await repository.save_items(uow.connection, after)
    if after.cancellations != order.cancellations:
        await repository.save_cancellations(uow.connection, after)
    uow.emit(told_of)
    return after


async def save_quietly(uow: UnitOfWork, order: Order, **fields: Any) -> Order:
    """Change what of a locked order shows nowhere: no event, and nobody's etag goes stale of it."""
    after = replace(order, **fields)
    await repository.save_quietly(uow.connection, after, order.version)
    return after


def make_event(
    event: type[OrderEvent], after: Order, previous: OrderState, told: Mapping[str, object] | None = None
) -> OrderEvent:
    """The event of a change; `told` as in `transition`."""
    given = told or {}
    further: dict[str, Any] = {name: given[name] if name in given else getattr(after, name) for name in _further(event)}
    return event(
        order_id=after.order_id,
        order_group_id=after.order_group_id,
        order_number=after.order_number,
        buyer_id=after.buyer_id,
        seller_id=after.seller_id,
        owner_user_id=after.owner_user_id,
        state=after.state.value,
        previous_state=previous.value,
        after=after.progress(),
        **further,
    )


def _further(event: type[OrderEvent]) -> set[str]:
    return event.__dataclass_fields__.keys() - OrderEvent.__dataclass_fields__.keys()
