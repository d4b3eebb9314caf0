"""Whether a courier is at a stop: pure, fed with the fixes that moved the live marker.

ARRIVED needs an accurate fix within the inner radius, more than one of them, and some time between them; DEPARTED the
same beyond the outer radius. Between the radii nothing counts, so a courier on the edge does not come and go.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from marketd.kernel.values.geo import Point, distance_meters
from marketd.tracking.values import MICROS, Fix

INSIDE_METERS: Final = 60.0
OUTSIDE_METERS: Final = 120.0
ACCURATE_METERS: Final = 50.0
PERSISTENCE_MICROS: Final = 10 * MICROS


class StopEvent(StrEnum):
    """What happens at a stop; each once, in this order."""

    ARRIVED = "ARRIVED"
    DEPARTED = "DEPARTED"


class Gate:
    """One stop of one delivery. `is_open` says whether its events may still come."""

    __slots__ = ("_since", "arrived", "departed", "point")

    def __init__(self, point: Point | None, *, arrived: bool = False, departed: bool = False) -> None:
        self.point = point
        self.arrived = arrived
        self.departed = departed
        self._since: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a point to watch and something left to happen."""
        return self.point is not None and not self.departed

    def pass_by(self, fix: Fix) -> tuple[StopEvent, int] | None:
        """What this fix completes, and the sample time at which it began."""
        since = self._since
        if not self._counts(fix) or since is None or fix.sample_micros - since < PERSISTENCE_MICROS:
            return None
        self._since = None
        if self.arrived:
            self.departed = True
            return StopEvent.DEPARTED, since
        self.arrived = True
        return StopEvent.ARRIVED, since

    def recall(self, fix: Fix) -> None:
        """A fix of before: it may be the first of several, but completes nothing, for that was told then."""
        self._counts(fix)

    def _counts(self, fix: Fix) -> bool:
        """Whether the fix speaks for the next event; the first one in a row is kept as its beginning."""
        if self.point is None or self.departed:
            return False
        if fix.accuracy_meters is not None and fix.accuracy_meters > ACCURATE_METERS:
            return False  # says nothing either way
        distance = distance_meters(self.point, fix.point)
        counts = distance > OUTSIDE_METERS if self.arrived else distance <= INSIDE_METERS
        if not counts:
            self._since = None
        elif self._since is None:
            self._since = fix.sample_micros
        return counts
