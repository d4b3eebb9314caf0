"""What a courier's fixes mean for the deliveries under way: stops reached and left, arrivals, delays. Pure.

A trip tells each thing once as far as it knows; journal.py makes that hold across workers and restarts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from marketd.delivery.estimate import Pace
from marketd.delivery.model import StopKind
from marketd.delivery.values import Eta
from marketd.kernel.values.geo import Point
from marketd.tracking.trip.gate import Gate, StopEvent
from marketd.tracking.values import MICROS, Fix, instant

RECKON_EVERY_MICROS: Final = 5 * MICROS
TELL_CHANGE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Leg:
    """An open delivery as its courier's worker needs it. Points are None when nobody placed them.

    is_picked_up: the goods are with the courier. expected_time, latest_time: the arrival of the present estimate, which
    was told. stops_told: which arrivals and departures were told before, by whichever worker.
    """

    delivery_id: UUID
    order_id: UUID
    courier_id: UUID
    is_picked_up: bool
    pickup_point: Point | None
    dropoff_point: Point | None
    expected_time: datetime | None = None
    latest_time: datetime | None = None
    stops_told: frozenset[tuple[StopKind, StopEvent]] = frozenset()


@dataclass(frozen=True, slots=True)
class Promise:
    """The latest arrival that was promised first, and whether watchers were told that it will be later."""

    due_time: datetime | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class AtStop:
    """The courier came to a stop or left it."""

    leg: Leg
    stop: StopKind
    event: StopEvent
    occurred_micros: int


@dataclass(frozen=True, slots=True)
class Expected:
    """The arrival is expected at another time than was told last."""

    leg: Leg
    eta: Eta


@dataclass(frozen=True, slots=True)
class Late:
    """The arrival is expected later than was promised first."""

    leg: Leg
    due_time: datetime
    eta: Eta


TripFinding: TypeAlias = AtStop | Expected | Late


class Trip:
    """One open delivery under the eyes of its courier's worker."""

    __slots__ = ("_expected", "_gates", "_is_late", "_promised", "_reckoned", "leg")

    def __init__(self, leg: Leg, promise: Promise) -> None:
        self.leg = leg
        self._gates = {
            kind: Gate(
                point,
                arrived=(kind, StopEvent.ARRIVED) in leg.stops_told,
                departed=(kind, StopEvent.DEPARTED) in leg.stops_told,
            )
            for kind, point in ((StopKind.PICKUP, leg.pickup_point), (StopKind.DROPOFF, leg.dropoff_point))
        }
        self._promised = promise.due_time
        self._is_late = promise.late
        self._expected = leg.expected_time
        self._reckoned: int | None = None

    def recall(self, fix: Fix) -> None:
        """A fix that moved the live marker before this worker heard of the trip, oldest first."""
        for kind, gate in self._gates.items():
            if kind is StopKind.PICKUP or self.leg.is_picked_up:
                gate.recall(fix)

    def change(self, leg: Leg) -> None:
        """The delivery has moved on; after the pickup the estimate is made anew at once."""
        if leg.is_picked_up != self.leg.is_picked_up:
            self._reckoned = self._expected = None
        self.leg = leg

    def follow(self, fix: Fix, now_micros: int, pace: Pace) -> list[TripFinding]:
        """What this fix, which moved the live marker, brings to light."""
        return [*self._stops(fix), *self._arrival(fix, now_micros, pace)]

    def _stops(self, fix: Fix) -> Iterator[TripFinding]:
        for kind, gate in self._gates.items():
            if kind is StopKind.DROPOFF and not self.leg.is_picked_up:
                continue  # passing the buyer's door on the way to the seller's is no arrival
            passed = gate.pass_by(fix)
            if passed is not None:
                yield AtStop(self.leg, kind, *passed)

    def _arrival(self, fix: Fix, now_micros: int, pace: Pace) -> Iterator[TripFinding]:
        leg = self.leg
        if self._reckoned is not None and now_micros - self._reckoned < RECKON_EVERY_MICROS:
            return
        if leg.dropoff_point is None or (leg.pickup_point is None and not leg.is_picked_up):
            return  # a guess that starts anew with each position would only ever move away
        self._reckoned = now_micros
        now = instant(now_micros)
        if leg.is_picked_up:
            eta = pace.after_pickup(now, fix.point, leg.dropoff_point)
        else:
            eta = pace.before_pickup(now, None, fix.point, leg.pickup_point, leg.dropoff_point)
        if self._expected is None or abs(eta.expected_time - self._expected) > TELL_CHANGE:
            self._expected = eta.expected_time
            yield Expected(leg, eta)
        if self._promised is None:
            self._promised = eta.latest_time
        elif not self._is_late and eta.expected_time > self._promised:
            self._is_late = True
            yield Late(leg, self._promised, eta)
