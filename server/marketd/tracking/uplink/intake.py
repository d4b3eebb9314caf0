"""What happens to positions the moment they come in: judged one by one, shown to watchers, handed to the writer.

This runs for every position of every courier. It does not wait; `room` does, before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from marketd.delivery.estimate import Pace
from marketd.kernel.values.geo import Point
from marketd.tracking.repository import NewPosition
from marketd.tracking.trip.journal import Journal
from marketd.tracking.uplink.acks import Uplink
from marketd.tracking.uplink.couriers import HeardCourier
from marketd.tracking.uplink.judge import Rejection, Sample, rejection
from marketd.tracking.uplink.position_writer import Parcel, PositionWriter
from marketd.tracking.values import Fix
from marketd.tracking.watch.hub import Hub

_seq = attrgetter("seq")

# Above this many rejections that a stream has not told its courier, nothing more of the uplink is taken, by no stream
# and no report: a stream is told of all of them, and nothing else would stop who sends and does not read.
MAX_UNTOLD: Final = 10_000
# A range of numbers ends before the number that Postgres calls its end.
_HIGHEST: Final = 2**63 - 1


class Intake:
    """Where positions go in this process."""

    def __init__(self, hub: Hub, writer: PositionWriter, journal: Journal, pace: Pace) -> None:
        self.hub = hub
        self.writer = writer
        self._journal = journal
        self._pace = pace

    async def room(self, uplink: Uplink) -> None:
        """Wait until more positions of the uplink may be taken."""
        while True:
            await self.writer.room(uplink)
            if uplink.untold < MAX_UNTOLD:
                return
            uplink.told.clear()
            await uplink.told.wait()

    def take(
        self, courier: HeardCourier, uplink: Uplink, samples: Sequence[Sample], receive_micros: int
    ) -> list[tuple[int, int]]:
        """Take positions of one message; those whose number is none, rejected at once.

        They are looked at in the order of their numbers. One that comes after higher numbers is stored and never moves
        the marker; one that waits for its commit already is a duplicate and is dropped. One that there is no room for
        is rejected, and so is a bad one beyond that; of those the ledger keeps nothing (position_writer.Parcel).
        """
        rows: list[NewPosition] = []
        numberless: list[tuple[int, int]] = []
        beyond: list[tuple[int, int]] = []
        fixes: list[Fix] = []
        places: list[int] = []
        track, density = courier.track, uplink.density
        density.begin(receive_micros)
        for sample in sorted(samples, key=_seq):
            seq, time, latitude, longitude, accuracy, speed, heading, mocked, battery = sample
            reason = rejection(sample, receive_micros)
            if reason is Rejection.SEQ_INVALID:
                numberless.append((seq, reason))
                continue
            is_late = seq <= uplink.highest
            if not uplink.admit(seq):
                continue
            if reason is not None or time is None or latitude is None or longitude is None:
                reason = reason or Rejection.FIELD_MISSING
                # It has no time to count at, but a flood of bad ones must not fill the ledger either.
                if density.admits(receive_micros) or seq == _HIGHEST:
                    rows.append(_rejected(seq, receive_micros, reason))
                else:
                    beyond.append((seq, reason))
                continue
            ahead = time - receive_micros if time > receive_micros else 0
            if not density.admits(time - ahead):
                if seq < _HIGHEST:
                    beyond.append((seq, Rejection.RATE_EXCEEDED))
                else:
                    rows.append(_rejected(seq, receive_micros, Rejection.RATE_EXCEEDED))
                continue
            fix = Fix(seq, time - ahead, receive_micros, Point(latitude, longitude), accuracy, speed, heading, ahead)
            flags = 0
            if is_late:
                flags = track.judge_late(fix)
            else:
                fixes.append(fix)
                places.append(len(rows))
            rows.append(
                NewPosition(
                    0,
                    seq,
                    time,
                    receive_micros,
                    latitude,
                    longitude,
                    accuracy,
                    speed,
                    heading,
                    mocked,
                    battery,
                    flags,
                    None,
                )
            )
        judged, moves = track.judge(fixes)  # the lowest numbers came first, so none that is late stands among them
        if any(judged):
            for place, flags in zip(places, judged, strict=True):
                rows[place] = rows[place]._replace(flags=flags)
        if courier.trips:
            for moved in moves:
                self._journal.add(courier.follow(moved, receive_micros, self._pace))
        if moves:
            self.hub.moved(courier.courier_id, moves[-1])
        if rows or beyond:
            self.writer.add(Parcel(uplink, rows, moves[-1] if moves else None, beyond))
        return numberless


def _rejected(seq: int, receive_micros: int, reason: Rejection) -> NewPosition:
    """Only the number and the reason are kept: the rest may be anything, also what Postgres has no room for."""
    return NewPosition(0, seq, None, receive_micros, None, None, None, None, None, False, None, 0, int(reason))
