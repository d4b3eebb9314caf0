"""The use case of reporting one batch: it ends when the position writer has committed it, together with others'."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.tracking import repository
from marketd.tracking.uplink.acks import Rejections, Uplink
from marketd.tracking.uplink.couriers import HeardCourier
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.judge import Sample


class PendingBatch:
    """One batch on its way to its commit, as a listener of its uplink; see acks.Listener."""

    def __init__(self, uplink: Uplink, seqs: frozenset[int]) -> None:
        self._uplink = uplink
        self._waiting = set(seqs)
        self._rejected: dict[int, int] = {}
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def untold(self) -> int:
        """None: they go with the answer."""
        return 0

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


async def open_report(uow: UnitOfWork, courier_id: UUID, uplink_id: UUID, device_id: str) -> int:
    """A report begins; the highest number of the uplink that is committed."""
    return await repository.touch_uplink(uow.connection, courier_id, uplink_id, device_id, uow.now)


async def report(
    intake: Intake, courier: HeardCourier, uplink: Uplink, samples: Sequence[Sample]
) -> tuple[int, Rejections]:
    """Take the batch and wait until it is committed: the acknowledged number and what was rejected."""
    await intake.room(uplink)
    waiting = PendingBatch(uplink, frozenset(sample.seq for sample in samples))
    uplink.listeners.append(waiting)
    try:
        numberless = intake.take(courier, uplink, samples, intake.hub.now_micros)
        intake.writer.hurry()
        rejected = await waiting.finish(numberless)
    finally:
        uplink.leave(waiting)
    return uplink.acked_seq, rejected
