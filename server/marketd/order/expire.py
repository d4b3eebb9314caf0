"""What happens to orders by time: those of a group expire when nobody pays in time, and a paid one is cancelled when
its seller does not accept it in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from marketd.inventory import service as inventory
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json
from marketd.order import repository
from marketd.order.codes import give_back_codes
from marketd.order.end import end_order, lock_whole, stock_lines
from marketd.order.events import OrderExpired
from marketd.order.model import CancellationReason, OrderState
from marketd.order.transition import transition
from marketd.order.values import Order
from marketd.payment import service as payments

EXPIRE: Final = "order.expire"
GIVE_UP: Final = "order.give_up"


def enqueue_expiry(uow: UnitOfWork, order_group_id: UUID, expire_time: datetime) -> None:
    """Have the group's orders expire at that time unless they are paid by then."""
    uow.enqueue(
        Job(
            kind=EXPIRE,
            payload={"order_group_id": str(order_group_id)},
            run_time=expire_time,
            dedup_key=f"{EXPIRE}:{order_group_id}",
        )
    )


async def expire_group(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """Let the group's unpaid orders expire; the job. Paid ones are left alone."""
    group_id = UUID(str(payload["order_group_id"]))
    if await repository.lock_group(uow.connection, group_id) is None:
        return
    await payments.lock_group_payments(uow, group_id)
    orders = await repository.lock_orders(uow.connection, group_id)
    waiting = [order for order in orders if order.state is OrderState.PENDING_PAYMENT]
    if not waiting:
        return
    await payments.cancel_open(uow, group_id)
    lines = [line for order in waiting for line in stock_lines(order)]
    expired = [await transition(uow, order, OrderExpired, state=OrderState.EXPIRED, due_minor=0) for order in waiting]
    await give_back_codes(uow, orders, expired)
    await inventory.release(uow, lines, group_id)


def accept_expire_time(order: Order, pay_time: datetime, lifetime: timedelta) -> datetime:
    """Until when the seller may accept an order that is paid at `pay_time`; counted from when it can look at it."""
    begin = pay_time if order.shop_open_time is None else max(pay_time, order.shop_open_time)
    return begin + lifetime


def enqueue_give_up(uow: UnitOfWork, order: Order, accept_expire_time: datetime) -> None:
    """Have the paid order cancelled at that time unless its seller accepts it by then."""
    uow.enqueue(
        Job(
            kind=GIVE_UP,
            payload={"order_id": str(order.order_id)},
            run_time=accept_expire_time,
            dedup_key=f"{GIVE_UP}:{order.order_id}",
        )
    )


async def give_up_order(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """Cancel an order that its seller has not accepted; the job. One that is further, or over, is left alone."""
    order_id = UUID(str(payload["order_id"]))
    # Most are accepted by now: these need no lock.
    seen = await repository.read(uow.connection, order_id)
    if seen is None or seen.state is not OrderState.PAID:
        return
    orders, order = await lock_whole(uow, order_id)
    if order.state is OrderState.PAID:
        await end_order(uow, orders, order, reason=CancellationReason.NOT_ACCEPTED_IN_TIME)
