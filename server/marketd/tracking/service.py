"""The use cases of tracking: opening an uplink, reporting a batch, following a delivery.

The two first need an open shift. They end in tracking's own machinery, not in one transaction: positions are committed
by the writer, in batches with everybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events import outbox
from marketd.tracking import deliveries, repository
from marketd.tracking.errors import OffShift
from marketd.tracking.uplink.acks import Rejections, Uplink
from marketd.tracking.uplink.couriers import HeardCourier
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.judge import Sample
from marketd.tracking.watch.audience import Audience, Followed, audience_of

# What is told again of earlier rejections when an uplink opens; a client that missed more has other troubles.
MAX_TOLD_AGAIN = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of an uplink when a stream says hello. `epoch` is the stream's."""

    epoch: int
    settled_seq: int
    rejected: Rejections


async def reporting_courier(unit: ReadUnit | UnitOfWork, caller: Caller) -> UUID:
    """The caller's courier. Raises OffShift unless positions are taken from them now."""
    courier_id = await deliveries.reporting_courier(unit, caller.known_user_id)
    if courier_id is None:
        raise OffShift(caller.known_user_id)
    return courier_id


async def open_stream(
    uow: UnitOfWork, courier_id: UUID, uplink_id: UUID, device_id: str, last_acked_seq: int
) -> Opened:
    """A stream begins: it becomes the courier's newest. `rejected` are those after what the client has seen."""
    epoch = await repository.raise_epoch(uow.connection, courier_id, uow.now)
    settled_seq = await repository.touch_uplink(uow.connection, courier_id, uplink_id, device_id, uow.now)
    rejected = await repository.rejected_after(uow.connection, courier_id, uplink_id, last_acked_seq, MAX_TOLD_AGAIN)
    return Opened(epoch, settled_seq, rejected)


async def open_report(uow: UnitOfWork, courier_id: UUID, uplink_id: UUID, device_id: str) -> int:
    """A report begins; the highest number of the uplink that is committed."""
    return await repository.touch_uplink(uow.connection, courier_id, uplink_id, device_id, uow.now)


class Report:
    """One batch on its way to its commit, as a listener of its uplink; see uplinks.Listener."""

    def __init__(self, uplink: Uplink, seqs: frozenset[int]) -> None:
        self._uplink = uplink
        self._waiting = set(seqs)
        self._rejected: dict[int, int] = {}
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settled(self, rejected: Rejections, repeated: Rejections) -> None:
        """Keep what concerns this batch; whoever sent it may never have had the first answer."""
        self._rejected.update((seq, reason) for seq, reason in (*rejected, *repeated) if seq in self._waiting)
        self._finish()

    def failed(self, error: Exception) -> None:
        """Give up with the bug's own error."""
        if not self._done.done():
            self._done.set_exception(error)

    def _finish(self) -> None:
        if not self._done.done() and self._waiting.isdisjoint(self._uplink.pending):
            self._done.set_result(None)

    async def finish(self, numberless: Rejections) -> Rejections:
        """Wait for the commit; what was rejected, lowest number first."""
        self._finish()
        await self._done
        return sorted([*numberless, *self._rejected.items()])


async def report(
    intake: Intake, courier: HeardCourier, uplink: Uplink, samples: Sequence[Sample]
) -> tuple[int, Rejections]:
    """Take the batch and wait until it is committed: the acknowledged number and what was rejected."""
    await intake.writer.room(uplink)
    waiting = Report(uplink, frozenset(sample.seq for sample in samples))
    uplink.listeners.append(waiting)
    try:
        numberless = intake.take(courier, uplink, samples, intake.hub.now_micros)
        intake.writer.hurry()
        rejected = await waiting.finish(numberless)
    finally:
        uplink.listeners.remove(waiting)
    return uplink.acked_seq, rejected


async def read_watched(unit: ReadUnit, caller: Caller, delivery_id: UUID) -> tuple[int, Followed, Audience]:
    """The delivery and its last event, for a caller who may follow it. Raises NotFound for anybody else.

    The event's number is read first, so that whatever the state may be ahead of is told again, never left out.
    """
    seq = await outbox.last_seq(unit.connection, delivery_id)
    followed = await deliveries.read_followed(unit, delivery_id)
    audience = audience_of(followed, caller) if followed is not None else None
    if followed is None or audience is None:
        raise NotFound("delivery", delivery_id)
    return seq, followed, audience
