"""Letting the orders of a group expire that nobody paid in time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.inventory import service as inventory
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json
from marketd.order import repository
from marketd.order.events import OrderExpired
from marketd.order.model import OrderState
from marketd.order.transition import lines_of, transition
from marketd.payment import service as payments

EXPIRE: Final = "order.expire"


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
    waiting = [
        order
        for order in await repository.lock_orders(uow.connection, group_id)
        if order.state is OrderState.PENDING_PAYMENT
    ]
    if not waiting:
        return
    await payments.cancel_open(uow, group_id)
    lines = [line for order in waiting for line in lines_of(order)]
    for order in waiting:
        await transition(uow, order, OrderExpired, state=OrderState.EXPIRED, due_minor=0)
    await inventory.release(uow, lines, group_id)
