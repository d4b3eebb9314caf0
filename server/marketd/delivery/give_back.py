"""Taking what is not picked up from a courier, so that somebody else can bring it."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.audit import log
from marketd.audit.call import Act
from marketd.delivery.events import DeliveryWithdrawn
from marketd.delivery.model import DeliveryState
from marketd.delivery.repository import deliveries
from marketd.delivery.transition import transition
from marketd.delivery.values import Delivery
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.db.uow import UnitOfWork
from marketd.order import service as order

_WAITING = (DeliveryState.ASSIGNED, DeliveryState.AT_PICKUP)


async def give_back(uow: UnitOfWork, courier_id: UUID) -> None:
    """Everything that the courier has not picked up is CREATED again. The courier's row is locked.

    All deliveries are locked before the first order: that is the order of the locks. A pickup that comes first keeps
    its goods in the courier's hands.
    """
    locked = [
        await deliveries.lock(uow.connection, delivery_id)
        for delivery_id in await deliveries.waiting_of_courier(uow.connection, courier_id)
    ]
    mine = [found for found in locked if found and found.courier_id == courier_id and found.state in _WAITING]
    for before in sorted(mine, key=lambda found: found.order_id):
        after = await withdraw(uow, before)
        comment = f"courier {courier_id}"
        await log.record(
            uow, SYSTEM, "delivery", after.delivery_id, comment, before=before, after=after, act=Act.GIVE_BACK_DELIVERY
        )


async def withdraw(uow: UnitOfWork, before: Delivery) -> Delivery:
    """A locked delivery that is not picked up is nobody's for now, and has no estimate until somebody has it again.

    Raises IllegalTransition when it is too late for that.
    """
    await deliveries.save_wrong_codes(uow.connection, before.delivery_id, 0, None)
    after = await transition(
        uow,
        before,
        DeliveryState.CREATED,
        DeliveryWithdrawn,
        courier=None,
        shift_id=None,
        assign_time=None,
        pickup=replace(before.pickup, arrive_time=None, depart_time=None),
        eta=None,
    )
    await order.courier_withdrawn(uow, before.order_id)
    return after
