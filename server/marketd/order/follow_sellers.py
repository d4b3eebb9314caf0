"""What follows for orders when their shop is suspended and nobody can see to it: the owner's account is blocked, or has
lost the role.

What is not ready yet is cancelled and paid back; what is READY or further on its way goes on, because it needs the shop
no more. An owner who can act finishes the open orders, so nothing is cancelled then. Each order ends in a transaction
of its own, under its own locks; a second time finds nothing to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json, StoredEvent
from marketd.order import lists
from marketd.order.end import end_order, lock_whole
from marketd.order.model import CancellationReason, OrderState
from marketd.seller import service as sellers
from marketd.seller.events import SellerSuspended

FIND_ABANDONED: Final = "order.find_abandoned"
END_ABANDONED: Final = "order.end_abandoned"
SELLER_SUSPENDED: Final = SellerSuspended.event_type
_WAITS_FOR_SHOP: Final = (OrderState.PENDING_PAYMENT, OrderState.PAID, OrderState.ACCEPTED)
_BATCH: Final = 500


async def seller_suspended(uow: UnitOfWork, event: StoredEvent) -> None:
    """Have the orders ended that wait for a shop which nobody can see to."""
    if not event.payload["owner_can_act"]:
        _enqueue_search(uow, str(event.payload["seller_id"]), "")


async def find_abandoned(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """Enqueue the end of one batch of the shop's orders, and the search for the next; the job."""
    seller_id, after = str(payload["seller_id"]), str(payload["after"])
    found = await lists.list_waiting_for_shop(
        uow.connection, UUID(seller_id), _WAITS_FOR_SHOP, UUID(after) if after else None, _BATCH
    )
    for order_id in found:
        uow.enqueue(
            Job(kind=END_ABANDONED, payload={"order_id": str(order_id)}, dedup_key=f"{END_ABANDONED}:{order_id}")
        )
    if len(found) == _BATCH:
        _enqueue_search(uow, seller_id, str(found[-1]))


async def end_abandoned(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """Cancel an order whose shop nobody can see to; the job. One that is ready by now goes on, and so does that of a
    shop that sells again.
    """
    order_id = UUID(str(payload["order_id"]))
    orders, order = await lock_whole(uow, order_id)
    if order.state not in _WAITS_FOR_SHOP:
        return
    seller = await sellers.read_seller(uow, order.seller_id)
    if seller is not None and not seller.sells:
        await end_order(uow, orders, order, reason=CancellationReason.SELLER_UNAVAILABLE)


def _enqueue_search(uow: UnitOfWork, seller_id: str, after: str) -> None:
    uow.enqueue(
        Job(
            kind=FIND_ABANDONED,
            payload={"seller_id": seller_id, "after": after},
            dedup_key=f"{FIND_ABANDONED}:{seller_id}:{after}",
        )
    )
