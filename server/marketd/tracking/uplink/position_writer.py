"""The batch writer: commits what all couriers of this worker report, together, at most every quarter second.

Whatever it commits is settled with its uplink afterwards, never before. A failed commit is tried again until it holds;
meanwhile the queue fills, and streams stop reading (`room`), so the couriers keep what is not acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.tracking import deliveries, repository
from marketd.tracking.repository import NewPosition
from marketd.tracking.uplink.acks import Rejections, Uplink
from marketd.tracking.values import Fix

_log = structlog.get_logger(__name__)

# Overflow rule: nothing is dropped. Above this many waiting positions `room` waits, so the streams stop reading.
MAX_WAITING = 20_000
MAX_BATCH = 5_000
# Of one uplink no more may wait, so that one courier's backlog does not fill the queue for all.
MAX_PENDING_OF_ONE = 2_000
GATHER_SECONDS: Final = 0.1


@dataclass(slots=True, eq=False)
class Parcel:
    """Positions of one uplink that came together. `which` of the rows is set when the batch is made up.

    `marker` is where the live marker stands after them, None when they did not move it. `beyond` are numbers, lowest
    first, that are rejected without a row of their own, and why: the uplink's row keeps their ranges, so that a later
    hello tells of them when this answer is lost.
    """

    uplink: Uplink
    rows: list[NewPosition]
    marker: Fix | None
    beyond: Rejections = ()

    def __len__(self) -> int:
        return len(self.rows) + len(self.beyond)

    @property
    def seqs(self) -> list[int]:
        """All its numbers."""
        return [*(row.seq for row in self.rows), *(seq for seq, _ in self.beyond)]


class PositionWriter:
    """One for each process; `run` it beside the server."""

    def __init__(self, tx: Transactor, *, gather_seconds: float = GATHER_SECONDS) -> None:
        """`gather_seconds`: how long a batch is gathered after its first position; with the commit below 0.25 s."""
        self._tx = tx
        self._gather_seconds = gather_seconds
        self._parcels: list[Parcel] = []
        self._waiting = 0
        self._filled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def room(self, uplink: Uplink) -> None:
        """Wait until more positions may be handed in."""
        while self._waiting >= MAX_WAITING or len(uplink.pending) >= MAX_PENDING_OF_ONE:
            self._room.clear()
            self._hurry.set()
            await self._room.wait()

    def add(self, parcel: Parcel) -> None:
        """Hand positions in; their uplink hears of it when they are committed."""
        self._parcels.append(parcel)
        self._waiting += len(parcel)
        self._filled.set()

    def hurry(self) -> None:
        """Commit without gathering: somebody waits for the answer."""
        self._hurry.set()

    async def run(self) -> None:
        """Commit batches until cancelled; what waits then is committed before it ends, if the database lets it."""
        try:
            while True:
                await self._filled.wait()
                if not self._hurry.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._gather_seconds):
                            await self._hurry.wait()
                self._hurry.clear()
                await self._commit(self._take())
        finally:
            if self._parcels:
                await self._last()

    def _take(self) -> list[Parcel]:
        taken: list[Parcel] = []
        count = 0
        for parcel in self._parcels:
            if taken and count + len(parcel) > MAX_BATCH:
                break
            taken.append(parcel)
            count += len(parcel)
        del self._parcels[: len(taken)]
        self._waiting -= count
        if not self._parcels:
            self._filled.clear()
        return taken

    async def _commit(self, parcels: list[Parcel]) -> None:
        """Commit the batch, again and again until it holds; a cancel puts it back."""
        pause, tries = 0.05, 0
        try:
            while True:
                try:
                    await self._write(parcels, again=tries > 0)
                    return
                except Refusal as refusal:
                    _log.warning("positions_waiting", reason=refusal.reason.value, parcels=len(parcels))
                    await asyncio.sleep(pause)
                    pause, tries = min(pause * 2, 1.0), tries + 1
                except Exception as error:  # noqa: BLE001 - a bug must cost its own uplink only, not everybody's positions
                    _log.exception("positions_failed", parcels=len(parcels))
                    await self._one_by_one(parcels, error)
                    return
        except asyncio.CancelledError:
            # What is settled already, or was put back by a call further in, must not come into one batch twice.
            back = [parcel for parcel in parcels if not self._is_over(parcel)]
            self._parcels[:0] = back
            self._waiting += sum(len(parcel) for parcel in back)
            raise
        finally:
            self._room.set()

    def _is_over(self, parcel: Parcel) -> bool:
        return parcel in self._parcels or parcel.seqs[0] not in parcel.uplink.pending

    async def _one_by_one(self, parcels: list[Parcel], error: Exception) -> None:
        for uplink, own in _by_uplink(parcels):
            if len(parcels) > len(own):
                await self._commit(own)
            else:
                uplink.fail([seq for parcel in own for seq in parcel.seqs], error)

    async def _last(self) -> None:
        try:
            async with asyncio.timeout(2.0):
                while self._parcels:
                    await self._write(self._take())
        except (Refusal, TimeoutError):
            # Not acknowledged, so the couriers send them again to the next server.
            _log.warning("positions_left", parcels=len(self._parcels))

    async def _write(self, parcels: Sequence[Parcel], *, again: bool = False) -> None:
        grouped = _by_uplink(parcels)
        rows = [
            row._replace(which=which)
            for which, (_, own) in enumerate(grouped, start=1)
            for parcel in own
            for row in parcel.rows
        ]
        couriers = [uplink.courier_id for uplink, _ in grouped]
        uplinks = [uplink.uplink_id for uplink, _ in grouped]
        latest = _latest(parcels)
        # In the order of their ids, in which all workers lock the uplinks' rows.
        passed_over = sorted(
            (uplink.courier_id, uplink.uplink_id, _ranges(beyond))
            for uplink, own in grouped
            if (beyond := sorted(seq for parcel in own for seq, _ in parcel.beyond))
        )

        async def work(uow: UnitOfWork) -> dict[int, _Duplicates]:
            seqs: dict[int, list[int]] = defaultdict(list)
            for which, seq in await repository.store(uow.connection, couriers, uplinks, rows):
                seqs[which].append(seq)
            # Read by a statement of its own: a concurrent writer's rows are not in the snapshot of the one before.
            found = {
                which: _Duplicates(
                    frozenset(own),
                    await repository.rejected_among(uow.connection, couriers[which - 1], uplinks[which - 1], own),
                )
                for which, own in seqs.items()
            }
            for courier_id, uplink_id, ranges in passed_over:
                await repository.pass_over(uow.connection, courier_id, uplink_id, ranges, uow.now)
            await deliveries.save_latest_fixes(uow, latest)
            return found

        found = await self._tx.run("tracking.positions", work, seconds=10.0)
        for which, (uplink, own) in enumerate(grouped, start=1):
            settled = [row for parcel in own for row in parcel.rows]
            # After a commit with an unknown outcome our own rows come back as duplicates; they are first answers.
            duplicates = found.get(which, _NONE)
            if duplicates.seqs and not again:
                _give_back(uplink, [row for row in settled if row.seq in duplicates.seqs])
            rejected = [
                (row.seq, row.reason)
                for row in settled
                if row.reason is not None and (again or row.seq not in duplicates.seqs)
            ]
            rejected += [rejection for parcel in own for rejection in parcel.beyond]
            seqs = [seq for parcel in own for seq in parcel.seqs]
            uplink.settle(seqs, rejected, () if again else duplicates.rejected)


class _Duplicates(NamedTuple):
    """Numbers of one uplink that were in the ledger before, and those of them that were rejected then."""

    seqs: frozenset[int]
    rejected: Sequence[tuple[int, int]]


_NONE = _Duplicates(frozenset(), ())


def _give_back(uplink: Uplink, repeated: Sequence[NewPosition]) -> None:
    """What was stored before took no room: who sends a backlog again after a lost connection is no flood."""
    for row in repeated:
        if row.sample_micros is not None:
            uplink.density.give_back(min(row.sample_micros, row.receive_micros))


def _ranges(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """The numbers, lowest first, as (first, last) of those that follow each other."""
    ranges: list[tuple[int, int]] = []
    for seq in seqs:
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges


def _latest(parcels: Sequence[Parcel]) -> list[tuple[UUID, Fix]]:
    """The newest marker of each courier, in id order, in which the rows are locked."""
    newest: dict[UUID, Fix] = {}
    for parcel in parcels:
        marker = parcel.marker
        if marker is not None:
            before = newest.get(parcel.uplink.courier_id)
            if before is None or marker.sample_micros > before.sample_micros:
                newest[parcel.uplink.courier_id] = marker
    return sorted(newest.items(), key=itemgetter(0))


def _by_uplink(parcels: Sequence[Parcel]) -> list[tuple[Uplink, list[Parcel]]]:
    grouped: dict[Uplink, list[Parcel]] = {}
    for parcel in parcels:
        grouped.setdefault(parcel.uplink, []).append(parcel)
    return list(grouped.items())
