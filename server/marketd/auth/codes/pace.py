"""How often something may be done by one worker, whoever asks: for what strangers can make the database keep."""

from __future__ import annotations

import time
from collections.abc import Callable

from marketd.kernel.call.refusals import Overloaded


class Pace:
    """At most `per_second` in the long run, and `burst` at once; beyond that everybody is refused alike.

    One number holds it: the time at which the whole burst may come again (the generic cell rate algorithm).
    """

    def __init__(self, per_second: float, burst: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._burst_seconds = burst * self._interval
        self._monotonic = monotonic
        self._full_at = 0.0

    def take(self) -> None:
        """Count one. Raises Overloaded."""
        now = self._monotonic()
        full_at = max(self._full_at, now) + self._interval
        if full_at - now > self._burst_seconds + 1e-9:  # less is rounding, not haste
            raise Overloaded
        self._full_at = full_at
