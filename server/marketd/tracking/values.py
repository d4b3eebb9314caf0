"""What the wings of tracking hand each other: fixes, and instants as microseconds, as positions carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from marketd.kernel.values.geo import Point

MICROS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Fix(NamedTuple):
    """A position that passed: what the live marker, the estimates and the watchers work with.

    `sample_micros` is when it counts: the device's own time, or the receive time where the device's clock is ahead of
    it. So a fast clock never puts a marker into the future, where nothing that comes after could move it.
    `ahead_micros` is how far ahead it was; only the worker that received the fix knows.
    """

    seq: int
    sample_micros: int
    receive_micros: int
    point: Point
    accuracy_meters: float | None
    speed_mps: float | None
    heading_degrees: float | None
    ahead_micros: int = 0


def instant(micros: int) -> datetime:
    """The datetime of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=micros)


def micros(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (instant - _EPOCH) // _MICROSECOND
