"""The use cases of seeing deliveries: who may see one, and which ones a list shows."""

from __future__ import annotations

from uuid import UUID

from marketd.delivery.repository import deliveries, pages
from marketd.delivery.values import Delivery, DeliveryCursor, DeliveryFilter, DeliveryOrder
from marketd.delivery.viewers import viewer_of
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit


async def get_delivery(unit: ReadUnit, caller: Caller, delivery_id: UUID) -> Delivery:
    """The delivery. Raises NotFound, also for somebody else's."""
    found = await deliveries.read(unit.connection, delivery_id)
    if found is None or not viewer_of(caller, found).may_see:
        raise NotFound("delivery", delivery_id)
    return found


async def list_deliveries(
    unit: ReadUnit,
    caller: Caller,
    wanted: DeliveryFilter,
    order: DeliveryOrder,
    after: DeliveryCursor | None,
    limit: int,
) -> list[Delivery]:
    """What the caller receives, hands out or brings; all of them for admins and services."""
    owner = None if caller.has(Role.ADMIN, Role.SERVICE) else caller.known_user_id
    return await pages.list_page(unit.connection, owner, wanted, order, after, limit)
