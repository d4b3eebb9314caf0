"""The pictures that prove deliveries: who took them, who may look at them, and how long they are kept.

They show doors, names and handwriting. So only the parties of a delivery and admins see them, and they go some time
after its end, or with the buyer's account.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from marketd.delivery.repository import deliveries
from marketd.delivery.viewers import viewer_of
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.work.sweeps import BATCH
from marketd.media import service as media
from marketd.media.model import PRIVATE
from marketd.media.values import Holder, HolderKind

_FIELD: Final = "media_ids[]"


async def hold(uow: UnitOfWork, caller: Caller, delivery_id: UUID, media_ids: Sequence[UUID]) -> None:
    """The delivery keeps these pictures. Raises ValidationFailed unless the caller uploaded them to prove it."""
    holder = Holder(HolderKind.DELIVERY, delivery_id)
    await media.hold(uow, {caller.known_user_id}, media_ids, PRIVATE, holder, field=_FIELD)


async def may_read(connection: Connection, caller: Caller, media_id: UUID) -> bool:
    """media.ports.PrivateReaders: the buyer, the seller and the courier of a delivery that it proves."""
    proven = await media.read_holder_ids(connection, media_id, HolderKind.DELIVERY)
    if not proven:
        return False
    found = await deliveries.read_many(connection, proven)
    return any(viewer_of(caller, delivery).is_party for delivery in found.values())


async def sweep(uow: UnitOfWork, *, keep: timedelta) -> int:
    """Have a batch of deliveries that closed before that go without their proofs; how many did."""
    gone = await deliveries.drop_old_proofs(uow.connection, uow.now - keep, uow.now, BATCH)
    await media.discard_all(uow, HolderKind.DELIVERY, gone)
    return len(gone)


async def forget_person(uow: UnitOfWork, user_id: UUID, limit: int) -> int:
    """What was photographed at the door of somebody who deleted the account goes; of how many deliveries, a batch."""
    gone = await deliveries.drop_proofs_of_buyer(uow.connection, user_id, uow.now, limit)
    await media.discard_all(uow, HolderKind.DELIVERY, gone)
    return len(gone)
