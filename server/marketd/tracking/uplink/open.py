"""The use case of opening a stream: who may report positions, and what is known of the uplink at its hello."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.tracking import deliveries, repository
from marketd.tracking.errors import OffShift
from marketd.tracking.uplink.acks import Rejections
from marketd.tracking.uplink.judge import Rejection

# How many earlier rejections are read at once when an uplink opens; what is above waits until these are told.
MAX_TOLD_AGAIN = 10_000


class Earlier(NamedTuple):
    """Rejections of earlier streams and reports; `read_to` is how far these are all, None when there are no more."""

    rejected: Rejections
    read_to: int | None


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """What is known of an uplink when a stream says hello. `epoch` is the stream's."""

    epoch: int
    settled_seq: int
    earlier: Earlier


async def require_reporting_courier(unit: ReadUnit | UnitOfWork, caller: Caller) -> UUID:
    """The caller's courier. Raises NotFound without one, and OffShift unless positions are taken from them now."""
    found = await deliveries.read_reporting_courier(unit, caller.known_user_id)
    if found is None:
        raise NotFound("courier", "me")
    courier_id, reports = found
    if not reports:
        raise OffShift(courier_id)
    return courier_id


async def open_stream(
    uow: UnitOfWork, courier_id: UUID, uplink_id: UUID, device_id: str, last_acked_seq: int
) -> OpenedStream:
    """A stream begins: it becomes the courier's newest. `earlier` are rejections after what the client has seen."""
    epoch = await repository.raise_epoch(uow.connection, courier_id, uow.now)
    settled_seq = await repository.touch_uplink(uow.connection, courier_id, uplink_id, device_id, uow.now)
    await repository.forget_passed_over(uow.connection, courier_id, uplink_id, last_acked_seq)
    earlier = await read_earlier(uow, courier_id, uplink_id, last_acked_seq, settled_seq)
    return OpenedStream(epoch, settled_seq, earlier)


async def read_earlier(
    unit: ReadUnit | UnitOfWork, courier_id: UUID, uplink_id: UUID, after_seq: int, to_seq: int
) -> Earlier:
    """The lowest rejections above `after_seq`, up to `to_seq`: the ledger's, and the numbers that were passed over.

    `to_seq` is what the hello knew of; whoever takes higher ones tells them. Of what was passed over only the numbers
    are kept: whatever each was, there were too many.
    """
    limit = MAX_TOLD_AGAIN
    noted = await repository.rejected_after(unit.connection, courier_id, uplink_id, after_seq, limit)
    passed = await repository.passed_over_after(unit.connection, courier_id, uplink_id, after_seq, limit)
    ends = [found[-1] for found in ([seq for seq, _ in noted], passed) if len(found) == limit]
    read_to = min((end for end in ends if end < to_seq), default=None)
    last = to_seq if read_to is None else read_to
    known = await repository.known_among(unit.connection, courier_id, uplink_id, passed) if passed else frozenset()
    rejected = [*noted, *((seq, int(Rejection.RATE_EXCEEDED)) for seq in passed if seq not in known)]
    return Earlier([(seq, reason) for seq, reason in rejected if seq <= last], read_to)
