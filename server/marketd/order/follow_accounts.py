"""What follows for orders when a buyer's account is deleted: they forget who the buyer was and where exactly he lives.

City, postal code and region stay, for the books and for statistics. All orders of the account are over: it could not be
deleted before. Batch by batch, each a job of its own, because an account may have any number of them; a second time
changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from marketd.auth.events import AccountDeleted
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json, StoredEvent
from marketd.order import repository

FORGET_BUYER: Final = "order.forget_buyer"
ACCOUNT_DELETED: Final = AccountDeleted.event_type
_BATCH: Final = 500


async def buyer_deleted(uow: UnitOfWork, event: StoredEvent) -> None:
    """Have the orders of the account forget it."""
    _enqueue(uow, str(event.payload["user_id"]), "")


async def forget_buyer(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """Take the person out of one batch of orders, and enqueue the next; the job."""
    user_id, after = str(payload["user_id"]), str(payload["after"])
    done = await repository.forget_buyer(uow.connection, UUID(user_id), UUID(after) if after else None, _BATCH)
    if len(done) == _BATCH:
        _enqueue(uow, user_id, str(done[-1]))


def _enqueue(uow: UnitOfWork, user_id: str, after: str) -> None:
    uow.enqueue(
        Job(
            kind=FORGET_BUYER,
            payload={"user_id": user_id, "after": after},
            dedup_key=f"{FORGET_BUYER}:{user_id}:{after}",
        )
    )
