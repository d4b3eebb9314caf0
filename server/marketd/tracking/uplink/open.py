"""The use case of opening a stream: who may report positions, and what is known of the uplink at its hello."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.tracking import deliveries, repository
from marketd.tracking.errors import OffShift
from marketd.tracking.uplink.acks import Rejections

# What is told again of earlier rejections when an uplink opens; a client that missed more has other troubles.
MAX_TOLD_AGAIN = 10_000


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """What is known of an uplink when a stream says hello. `epoch` is the stream's."""

    epoch: int
    settled_seq: int
    rejected: Rejections


async def require_reporting_courier(unit: ReadUnit | UnitOfWork, caller: Caller) -> UUID:
    """The caller's courier. Raises OffShift unless positions are taken from them now."""
    courier_id = await deliveries.read_reporting_courier(unit, caller.known_user_id)
    if courier_id is None:
        raise OffShift(caller.known_user_id)
    return courier_id


async def open_stream(
    uow: UnitOfWork, courier_id: UUID, uplink_id: UUID, device_id: str, last_acked_seq: int
) -> OpenedStream:
    """A stream begins: it becomes the courier's newest. `rejected` are those after what the client has seen."""
    epoch = await repository.raise_epoch(uow.connection, courier_id, uow.now)
    settled_seq = await repository.touch_uplink(uow.connection, courier_id, uplink_id, device_id, uow.now)
    rejected = await repository.rejected_after(uow.connection, courier_id, uplink_id, last_acked_seq, MAX_TOLD_AGAIN)
    return OpenedStream(epoch, settled_seq, rejected)
