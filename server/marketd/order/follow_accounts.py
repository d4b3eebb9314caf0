"""What follows for orders when an account is deleted: they forget who the buyer was, where exactly, and what the buyer
said, and where the person's shop was.

City, postal code and region stay, for the books and for statistics. All orders of the account are over: it could not be
deleted before. Batch by batch, each a job of its own, because an account may have any number of them; a second time
changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

from marketd.auth.events import AccountDeleted
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json, StoredEvent
from marketd.order import repository
from marketd.seller import service as sellers

FORGET_BUYER: Final = "order.forget_buyer"
FORGET_SHOP: Final = "order.forget_shop"
ACCOUNT_DELETED: Final = AccountDeleted.event_type
_BATCH: Final = 500


async def account_deleted(uow: UnitOfWork, event: StoredEvent) -> None:
    """Have the orders of the account, and those of its shops, forget it."""
    user_id = str(event.payload["user_id"])
    _enqueue(uow, FORGET_BUYER, user_id, "")
    for seller_id in await sellers.sellers_of(uow, UUID(user_id)):
        _enqueue(uow, FORGET_SHOP, str(seller_id), "")


async def forget_buyer(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """Take the person out of one batch of orders, and enqueue the next; the job."""
    await _forget(uow, FORGET_BUYER, payload, repository.forget_buyer)


async def forget_shop(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """Take the shop's door out of one batch of orders, and enqueue the next; the job."""
    await _forget(uow, FORGET_SHOP, payload, repository.forget_shop)


async def _forget(
    uow: UnitOfWork,
    kind: str,
    payload: Mapping[str, Json],
    batch: Callable[[Connection, UUID, UUID | None, int], Awaitable[list[UUID]]],
) -> None:
    whose, after = str(payload["whose"]), str(payload["after"])
    done = await batch(uow.connection, UUID(whose), UUID(after) if after else None, _BATCH)
    if len(done) == _BATCH:
        _enqueue(uow, kind, whose, str(done[-1]))


def _enqueue(uow: UnitOfWork, kind: str, whose: str, after: str) -> None:
    """`whose` is the buyer's account or the shop."""
    uow.enqueue(Job(kind=kind, payload={"whose": whose, "after": after}, dedup_key=f"{kind}:{whose}:{after}"))
