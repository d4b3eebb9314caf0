"""How densely a courier samples: a bucket that says when to tell them to slow down, and when that is over. Pure.

It is the sample times that count, not how fast messages come: what a device kept through a tunnel is sent at once, and
that is right.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from marketd.tracking.values import MICROS

# A few seconds too many are no fault; only who goes on above the rate is told.
BURST_SECONDS: Final = 10.0
REPEAT_SECONDS: Final = 10.0


class UplinkMode(StrEnum):
    """How a courier shall send (marketplace.tracking.v1.UplinkMode)."""

    LIVE = "LIVE"
    IDLE = "IDLE"
    THROTTLED = "THROTTLED"


class SendingRate:
    """A bucket that fills with `rate_hz` positions for each second of the samples' clock."""

    __slots__ = ("_burst", "_left", "_newest", "_rate", "_told", "is_throttled")

    def __init__(self, rate_hz: float) -> None:
        self._rate = rate_hz
        self._burst = max(rate_hz * BURST_SECONDS, 1.0)
        self._left = self._burst
        self._newest: int | None = None
        self._told = float("-inf")
        self.is_throttled = False

    @property
    def min_interval_seconds(self) -> float:
        """The least time between two positions."""
        return 1.0 / self._rate

    def count(self, positions: int, newest_micros: int, now: float) -> bool:
        """Count the positions of one message; True when the courier must be told something now.

        `newest_micros` is their newest sample time, `now` seconds on any steady clock, by which reminders are spaced.
        """
        if self._newest is not None and newest_micros > self._newest:
            gained = (newest_micros - self._newest) / MICROS * self._rate
            self._left = min(self._burst, self._left + gained)
        self._newest = newest_micros if self._newest is None else max(self._newest, newest_micros)
        # The debt is bounded, so that one flood is not held against a courier for ever.
        self._left = max(self._left - positions, -self._burst)
        if self._left < 0:
            if self.is_throttled and now - self._told < REPEAT_SECONDS:
                return False
            self.is_throttled, self._told = True, now
            return True
        if self.is_throttled and self._left > self._burst / 2:
            self.is_throttled = False
            return True
        return False
