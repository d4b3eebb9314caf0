"""Which positions are stored: each is judged by itself, and one that cannot be stored has its reason.

Pure: no clock, no database. Times are microseconds since the epoch, because thousands of these are handled a second.
"""

from __future__ import annotations

from enum import IntEnum
from math import isfinite
from typing import Final, NamedTuple

from marketd.tracking.values import MICROS

AHEAD_MICROS: Final = 60 * MICROS
OLD_MICROS: Final = 24 * 3600 * MICROS
NO_INSTANT: Final = -(2**90)
"""The sample time of a position whose Timestamp is none (its nanos lie outside a second); no real one is as low."""


class Rejection(IntEnum):
    """Why a position is not stored; the numbers are those of marketplace.tracking.v1.RejectionReason."""

    NOT_FINITE = 1
    OUT_OF_RANGE = 2
    TIME_AHEAD = 3
    TIME_TOO_OLD = 4
    FIELD_MISSING = 5
    SEQ_INVALID = 6
    RATE_EXCEEDED = 7
    """See density.py."""


class Sample(NamedTuple):
    """A position as it came; None stands for what the device did not say or did not know."""

    seq: int
    sample_micros: int | None
    latitude: float | None
    longitude: float | None
    accuracy_meters: float | None = None
    speed_mps: float | None = None
    heading_degrees: float | None = None
    mocked: bool = False
    battery_percent: int | None = None


def rejection(sample: Sample, now_micros: int) -> Rejection | None:
    """Why the position cannot be stored, or None. Whether there is room for it is density.py's question."""
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
        return Rejection.OUT_OF_RANGE if time == NO_INSTANT else Rejection.TIME_TOO_OLD
    return None
