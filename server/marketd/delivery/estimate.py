"""When something arrives: estimates from distances at a courier's speed. Pure; the speed is a setting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from marketd.delivery.values import Eta
from marketd.kernel.values.geo import Point, distance_meters

# Streets are longer than straight lines; 1.3 is the usual factor for cities.
DETOUR = 1.3
HANDOVER = timedelta(minutes=3)
# Where a point is unknown: a ride across a quarter of a city, and a courier who is not far.
PLAIN_RIDE = timedelta(minutes=20)
PLAIN_APPROACH = timedelta(minutes=8)
# The band around the expected time: a share of what is still to come, and never less than this.
EARLY_SHARE, LATE_SHARE = 0.15, 0.3
LEAST_EARLY, LEAST_LATE = timedelta(minutes=2), timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pace:
    """Estimates at one speed in m/s."""

    speed_mps: float

    def ride(self, start: Point | None, end: Point | None, otherwise: timedelta = PLAIN_RIDE) -> timedelta:
        """How long the way takes; `otherwise` when one of the points is unknown."""
        if start is None or end is None:
            return otherwise
        return timedelta(seconds=distance_meters(start, end) * DETOUR / self.speed_mps)

    def before_pickup(
        self,
        now: datetime,
        ready_time: datetime | None,
        courier: Point | None,
        pickup: Point | None,
        dropoff: Point | None,
    ) -> Eta:
        """The estimate while the goods are at the seller's: whichever is later, goods or courier, then the ride."""
        at_pickup = now + self.ride(courier, pickup, PLAIN_APPROACH)
        leave = max(at_pickup, ready_time or now) + HANDOVER
        return band(now, leave + self.ride(pickup, dropoff))

    def after_pickup(self, now: datetime, courier: Point | None, dropoff: Point | None) -> Eta:
        """The estimate while the goods are on their way."""
        return band(now, now + self.ride(courier, dropoff))


def band(now: datetime, expected: datetime) -> Eta:
    """The estimate with a band that is the wider the longer the way still is; it begins at `now` at the earliest."""
    still = max(expected - now, timedelta(0))
    earliest = expected - max(still * EARLY_SHARE, LEAST_EARLY)
    latest = expected + max(still * LATE_SHARE, LEAST_LATE)
    return Eta(
        expected_time=max(expected, now), earliest_time=max(earliest, now), latest_time=latest, estimate_time=now
    )
