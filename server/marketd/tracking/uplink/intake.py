"""What happens to positions the moment they come in: judged one by one, shown to watchers, handed to the writer.

This runs for every position of every courier. It does not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

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


class Intake:
    """Where positions go in this process."""

    def __init__(self, hub: Hub, writer: PositionWriter, journal: Journal, pace: Pace) -> None:
        self.hub = hub
        self.writer = writer
        self._journal = journal
        self._pace = pace

    def take(
        self, courier: HeardCourier, uplink: Uplink, samples: Sequence[Sample], receive_micros: int
    ) -> list[tuple[int, int]]:
        """Take positions of one message; those whose number is none, rejected at once.

        They are looked at in the order of their numbers. One that comes after higher numbers is stored and never moves
        the marker; one that waits for its commit already is a duplicate and is dropped.
        """
        rows: list[NewPosition] = []
        numberless: list[tuple[int, int]] = []
        marker: Fix | None = None
        track, trips = courier.track, courier.trips
        for sample in sorted(samples, key=_seq):
            seq = sample.seq
            reason = rejection(sample, receive_micros)
            if reason is Rejection.SEQ_INVALID:
                numberless.append((seq, reason))
                continue
            is_late = seq <= uplink.highest
            if not uplink.admit(seq):
                continue
            time, latitude, longitude = sample.sample_micros, sample.latitude, sample.longitude
            if reason is not None or time is None or latitude is None or longitude is None:
                rows.append(_rejected(seq, receive_micros, reason or Rejection.FIELD_MISSING))
                continue
            fix = Fix(
                seq,
                time,
                receive_micros,
                Point(latitude, longitude),
                sample.accuracy_meters,
                sample.speed_mps,
                sample.heading_degrees,
            )
            if is_late:
                flags = track.judge_late(fix)
            else:
                flags, moved = track.judge(fix)
                if moved is not None:
                    marker = moved
                    if trips:
                        self._journal.add(courier.follow(moved, receive_micros, self._pace))
            rows.append(
                NewPosition(
                    0,
                    seq,
                    time,
                    receive_micros,
                    latitude,
                    longitude,
                    sample.accuracy_meters,
                    sample.speed_mps,
                    sample.heading_degrees,
                    sample.is_mock,
                    sample.battery_percent,
                    flags,
                    None,
                )
            )
        if marker is not None:
            self.hub.moved(courier.courier_id, marker)
        if rows:
            self.writer.add(Parcel(uplink, rows, marker))
        return numberless


def _rejected(seq: int, receive_micros: int, reason: Rejection) -> NewPosition:
    """Only the number and the reason are kept: the rest may be anything, also what Postgres has no room for."""
    return NewPosition(0, seq, None, receive_micros, None, None, None, None, None, False, None, 0, int(reason))
