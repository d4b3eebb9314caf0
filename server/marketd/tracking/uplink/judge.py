"""The judgement on each position: rejected with a reason, or stored with flags, and whether the live marker moves.

Pure: no clock, no database. Times are microseconds since the epoch, because thousands of these are handled a second.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from math import isfinite
from typing import Final, NamedTuple

from marketd.kernel.values.geo import distance_meters
from marketd.tracking.values import MICROS, Fix

AHEAD_MICROS: Final = 60 * MICROS
OLD_MICROS: Final = 24 * 3600 * MICROS
MAX_SPEED_MPS: Final = 60.0
"""216 km/h: faster than anything that brings an order."""
POOR_ACCURACY_METERS: Final = 100.0
_SLACK_METERS: Final = 30.0
"""What two good fixes of a device at rest may lie apart."""


class Rejection(IntEnum):
    """Why a position is not stored; the numbers are those of marketplace.tracking.v1.RejectionReason."""

    NOT_FINITE = 1
    OUT_OF_RANGE = 2
    TIME_AHEAD = 3
    TIME_TOO_OLD = 4
    FIELD_MISSING = 5
    SEQ_INVALID = 6


class Flag(IntFlag):
    """What is odd about a stored position."""

    IMPLAUSIBLE_SPEED = 1
    POOR_ACCURACY = 2
    BEHIND_PREDECESSOR = 4
    OUT_OF_ORDER = 8
    """It came after higher numbers of its uplink."""


class Sample(NamedTuple):
    """A position as it came; None stands for what the device did not say."""

    seq: int
    sample_micros: int | None
    latitude: float | None
    longitude: float | None
    accuracy_meters: float | None = None
    speed_mps: float | None = None
    heading_degrees: float | None = None
    is_mock: bool = False
    battery_percent: int | None = None


def rejection(sample: Sample, now_micros: int) -> Rejection | None:
    """Why the position cannot be stored, or None."""
    seq, time, latitude, longitude, accuracy, speed, heading, _, battery = sample
    if seq < 1:
        return Rejection.SEQ_INVALID
    if time is None or latitude is None or longitude is None:
        return Rejection.FIELD_MISSING
    if not (isfinite(latitude) and isfinite(longitude)):
        return Rejection.NOT_FINITE
    # A NaN fails every comparison below; only then is it worth asking which kind of bad number it is.
    if (
        not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0)
        or (accuracy is not None and not 0.0 <= accuracy <= 1e7)
        or (speed is not None and not 0.0 <= speed <= 1e4)
        or (heading is not None and not 0.0 <= heading <= 360.0)
        or (battery is not None and not 0 <= battery <= 100)
    ):
        odd = any(value is not None and not isfinite(value) for value in (accuracy, speed, heading))
        return Rejection.NOT_FINITE if odd else Rejection.OUT_OF_RANGE
    if time > now_micros + AHEAD_MICROS:
        return Rejection.TIME_AHEAD
    if time < now_micros - OLD_MICROS:
        return Rejection.TIME_TOO_OLD
    return None


def is_plausible(earlier: Fix, later: Fix) -> bool:
    """Whether something that moves could have come from one to the other; `later` must not be sampled before."""
    elapsed = (later.sample_micros - earlier.sample_micros) / MICROS
    slack = _SLACK_METERS + (earlier.accuracy_meters or 0.0) + (later.accuracy_meters or 0.0)
    return distance_meters(earlier.point, later.point) <= MAX_SPEED_MPS * elapsed + slack


class Verdict(NamedTuple):
    """How a position is stored, and where the live marker goes because of it (None: it stays)."""

    flags: int
    marker: Fix | None


class Track:
    """What is known of one courier's way so far.

    `marker` is the last trusted fix; its sample_time only grows. `candidate` is a flagged fix that the next one may
    confirm. `last_micros` is the sample_time of the position that came before.
    """

    __slots__ = ("candidate", "last_micros", "marker")

    def __init__(self, marker: Fix | None = None) -> None:
        self.marker = marker
        self.candidate: Fix | None = None
        self.last_micros: int | None = marker.sample_micros if marker is not None else None

    def judge(self, fix: Fix) -> Verdict:
        """Judge the next position of the row.

        A flagged one becomes the candidate. The one after it confirms it when it is not sampled before it and lies
        where something that was there could be by then; then the marker moves to the newest that is trusted: the
        confirming one when nothing else is odd about it, else the confirmed one.
        """
        marker, candidate = self.marker, self.candidate
        behind = self.last_micros is not None and fix.sample_micros < self.last_micros
        self.last_micros = fix.sample_micros
        flags = 0
        if behind:
            flags |= Flag.BEHIND_PREDECESSOR
        if fix.accuracy_meters is not None and fix.accuracy_meters > POOR_ACCURACY_METERS:
            flags |= Flag.POOR_ACCURACY
        confirms = (
            candidate is not None and fix.sample_micros >= candidate.sample_micros and is_plausible(candidate, fix)
        )
        if marker is not None and not confirms:
            earlier, later = (marker, fix) if fix.sample_micros >= marker.sample_micros else (fix, marker)
            if not is_plausible(earlier, later):
                flags |= Flag.IMPLAUSIBLE_SPEED
        if flags:
            self.candidate = fix
            return Verdict(int(flags), self._move(candidate) if confirms else None)
        self.candidate = None
        return Verdict(0, self._move(fix))

    def judge_late(self, fix: Fix) -> int:
        """The flags of a position that comes after higher numbers of its uplink: it never moves anything."""
        flags = Flag.OUT_OF_ORDER
        if self.last_micros is not None and fix.sample_micros < self.last_micros:
            flags |= Flag.BEHIND_PREDECESSOR
        if fix.accuracy_meters is not None and fix.accuracy_meters > POOR_ACCURACY_METERS:
            flags |= Flag.POOR_ACCURACY
        return int(flags)

    def adopt(self, marker: Fix) -> None:
        """Others know where the marker stands; it never goes back."""
        if self.marker is None or marker.sample_micros > self.marker.sample_micros:
            self.marker = marker
        if self.last_micros is None:
            self.last_micros = marker.sample_micros

    def _move(self, fix: Fix | None) -> Fix | None:
        if fix is None or (self.marker is not None and fix.sample_micros <= self.marker.sample_micros):
            return None
        self.marker = fix
        return fix
