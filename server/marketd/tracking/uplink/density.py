"""How many positions of one courier are taken at all: the bound that a flood meets and a real backlog never does. Pure.

Two things are counted, over all streams, reports and uplinks of the courier. For each minute of sample times (a time
ahead of the server's counts as the server's) `DENSE` times the courier's rate is taken: a device that kept a day's
positions sends them as fast as it can, but no minute of that day holds more than it sampled. And a flood that spreads
its times over the whole day meets what a day can hold, `LAVISH` times over, which fills again at that rate.
docs/decisions/ has the figures (0016), and why each worker keeps books of its own.

What is beyond is rejected and gets no row of its own: a few ranges of numbers are all that a flood leaves.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from math import ceil
from typing import Final
from uuid import UUID

from marketd.tracking.uplink.judge import OLD_MICROS
from marketd.tracking.values import MICROS

MINUTE_MICROS: Final = 60 * MICROS
DENSE: Final = 4
LAVISH: Final = 2
MAX_COURIERS: Final = 10_000
_MINUTES: Final = OLD_MICROS // MINUTE_MICROS + 2
"""The day that is taken, the minute that has begun, and one to spare for a clock that is set back."""
_DAY_SECONDS: Final = OLD_MICROS // MICROS
_MOST: Final = 2**32 - 1


class Density:
    """The books of one courier; call `begin` once for each message, then `admits` for each of its positions."""

    __slots__ = ("_counts", "_due", "_left", "_limit", "_most", "_refill", "_second")

    def __init__(self, rate_hz: float) -> None:
        """rate_hz: the rate above which a courier is told to send less often."""
        self._limit = min(max(ceil(rate_hz * 60 * DENSE), 1), _MOST)
        self._refill = rate_hz * LAVISH
        self._most = max(rate_hz * LAVISH * _DAY_SECONDS, 1.0)
        self._left = self._most
        self._counts = array("H" if self._limit < 2**16 else "I", bytes(2 if self._limit < 2**16 else 4) * _MINUTES)
        self._second: int | None = None
        self._due = 0

    def begin(self, now_micros: int) -> None:
        """A message came: the day has more room, and minutes that no position can fall into any more are forgotten."""
        if now_micros < self._due:
            return  # once a second is enough, and no minute begins between
        second, before = now_micros // MICROS, self._second
        self._second, self._due = second, (second + 1) * MICROS
        if before is not None:
            left = self._left + (second - before) * self._refill
            self._left = left if left < self._most else self._most
            minute, last = second // 60, before // 60
            if minute > last:
                for gone in range(max(last + 1, minute - _MINUTES + 1), minute + 1):
                    self._counts[gone % _MINUTES] = 0

    def admits(self, micros: int) -> bool:
        """Count one position that counts at this time; False when there is no room for it."""
        counts, place = self._counts, micros // MINUTE_MICROS % _MINUTES
        if counts[place] >= self._limit or self._left < 1.0:
            return False
        counts[place] += 1
        self._left -= 1.0
        return True

    def give_back(self, micros: int) -> None:
        """A position that was counted turned out to be stored already: its minute has room for it again.

        It did cost a look at the database, so what the day holds stays counted.
        """
        place = micros // MINUTE_MICROS % _MINUTES
        if self._counts[place]:
            self._counts[place] -= 1


class Densities:
    """The books of all couriers this worker has heard; they outlast streams and reports, and know of no other worker.

    Overflow rule: above `MAX_COURIERS` (3 KB each) those are forgotten who were heard least lately.
    """

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._known: OrderedDict[UUID, Density] = OrderedDict()

    def of(self, courier_id: UUID) -> Density:
        """The courier's books."""
        known = self._known.get(courier_id)
        if known is None:
            known = self._known[courier_id] = Density(self._rate_hz)
            if len(self._known) > MAX_COURIERS:
                self._known.popitem(last=False)
        self._known.move_to_end(courier_id)
        return known
