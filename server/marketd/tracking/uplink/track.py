"""Where the live marker of a courier goes: what is odd about each stored position, and when an odd one is believed.

Pure, fed with all positions of one message at a time, because only the end of a message tells whether the courier is
still there: a receiver that swaps or loses signs for a while agrees with itself, and then comes back.

A fix that nothing is odd about moves the marker. One that is inaccurate or sampled before its predecessor moves it once
the next one agrees with it. One that could not have been reached from the marker is a leap; fixes that agree with it
make a detour, and the marker follows the detour when the message that brings the deciding fix does not leave it again:

- Two fixes decide when they came in different messages, or against a marker that no second fix stands behind (the
  first fix of a receiver without satellites is such a one).
- Within one message `MANY` decide against a marker that others stand behind.
- What a swap of the numbers, a lost sign or 0,0 would make of the marker's place is a known artifact: it never decides
  within one message, and over several it takes more fixes than stand behind the marker, of which `MANY` count.
- In the message that set the first marker of all both sides are counted: the greater number wins.

What the next message needs to know of this is rebuilt from the stored positions (`restore`), so it makes no difference
whether they come by one stream or by calls that each land on another worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import Final, TypeAlias

from marketd.kernel.values.geo import Point, distance_meters
from marketd.tracking.values import MICROS, Fix

MAX_SPEED_MPS: Final = 60.0
"""216 km/h: faster than anything that brings an order."""
POOR_ACCURACY_METERS: Final = 100.0
MANY: Final = 10
_SLACK_METERS: Final = 30.0
"""What two good fixes of a device at rest may lie apart."""
_DEGREE_METERS: Final = 111_200.0
"""No degree of latitude or longitude is longer on distance_meters' sphere."""
_NO_SATELLITE_DEGREES: Final = 0.01


class Flag(IntFlag):
    """What is odd about a stored position."""

    IMPLAUSIBLE_SPEED = 1
    POOR_ACCURACY = 2
    BEHIND_PREDECESSOR = 4
    OUT_OF_ORDER = 8
    """It came after higher numbers of its uplink."""


_LEAP: Final = int(Flag.IMPLAUSIBLE_SPEED)
_POOR: Final = int(Flag.POOR_ACCURACY)
_BEHIND: Final = int(Flag.BEHIND_PREDECESSOR)


def is_plausible(earlier: Fix, later: Fix) -> bool:
    """Whether something that moves could have come from one to the other; `later` must not count before."""
    elapsed = later.sample_micros - earlier.sample_micros
    if earlier.ahead_micros and later.ahead_micros > earlier.ahead_micros:
        # A clock that is ahead for both: fixes of one message all count at its arrival, yet time passed between them.
        elapsed += later.ahead_micros - earlier.ahead_micros
    allowed = MAX_SPEED_MPS * elapsed / MICROS + _SLACK_METERS
    allowed += (earlier.accuracy_meters or 0.0) + (later.accuracy_meters or 0.0)
    here, there = earlier.point, later.point
    # Never less than the distance, and for fixes of a ride it spares the trigonometry.
    at_most = (abs(here.latitude - there.latitude) + abs(here.longitude - there.longitude)) * _DEGREE_METERS
    return at_most <= allowed or distance_meters(here, there) <= allowed


def is_artifact(marker: Fix, leap: Fix) -> bool:
    """Whether a mistake that receivers and apps are known for would make this leap of a courier near the marker."""
    latitude, longitude = leap.point.latitude, leap.point.longitude
    if abs(latitude) < _NO_SATELLITE_DEGREES and abs(longitude) < _NO_SATELLITE_DEGREES:
        return True
    places = [(latitude * up, longitude * right) for up in (1, -1) for right in (1, -1)]
    places += [(right, up) for up, right in places]
    return any(_can_follow(marker, leap._replace(point=Point(*place))) for place in places[1:] if abs(place[0]) <= 90)


Verdicts: TypeAlias = tuple[list[int], list[Fix]]
"""The flags of each position of a message, and the fixes to which the live marker goes because of them, in turn."""


class Track:
    """What is known of one courier's way so far; see the module for its rules.

    `marker` is the last trusted fix, which never goes back. `candidate` is the newest fix when it is flagged: the next
    one may agree with it. `last_micros` is when the position before counts.
    """

    __slots__ = ("_detour", "_spans_messages", "_support", "candidate", "last_micros", "marker")

    def __init__(self, marker: Fix | None = None) -> None:
        self.marker = marker
        self.candidate: Fix | None = None
        self.last_micros: int | None = marker.sample_micros if marker is not None else None
        # How many unflagged fixes stand behind the marker, and how many make the detour whose newest is the candidate.
        self._support = 0
        self._detour = 0
        self._spans_messages = False

    def judge(self, fixes: Sequence[Fix]) -> Verdicts:
        """Judge the next positions of the row, which came in one message."""
        flags: list[int] = []
        moves: list[Fix] = []
        decided_at: int | None = None
        decisive: Fix | None = None
        speaks_for_both = self.marker is None
        self._spans_messages = self._detour > 0
        for fix in fixes:
            time, accuracy = fix.sample_micros, fix.accuracy_meters
            odd = _BEHIND if self.last_micros is not None and time < self.last_micros else 0
            if accuracy is not None and accuracy > POOR_ACCURACY_METERS:
                odd |= _POOR
            self.last_micros = time
            marker, before = self.marker, self.candidate
            if marker is None or (
                is_plausible(marker, fix) if time >= marker.sample_micros else is_plausible(fix, marker)
            ):
                decided_at = None
                trusted = fix if not odd else (before if not self._detour and _agree(before, fix) else None)
                self._detour = 0
                self.candidate = fix if odd else None
                if trusted is not None and self._move(trusted):
                    moves.append(trusted)
                if not odd and self._support < MANY:
                    self._support += 1
            else:
                odd |= _LEAP
                if self._detour and _agree(before, fix):
                    self._detour += 1
                else:
                    self._detour, self._spans_messages, decided_at = 1, False, None
                self.candidate = fix
                if decided_at is None and self._is_decided(marker, fix, speaks_for_both=speaks_for_both):
                    decided_at, decisive = len(flags), before
            flags.append(odd)
        if decided_at is not None and decisive is not None:
            moves += self._follow_detour(fixes, flags, decided_at, decisive)
        return flags, moves

    def judge_late(self, fix: Fix) -> int:
        """The flags of a position that comes after higher numbers of its uplink: it never moves anything."""
        flags = int(Flag.OUT_OF_ORDER)
        if self.last_micros is not None and fix.sample_micros < self.last_micros:
            flags |= _BEHIND
        if fix.accuracy_meters is not None and fix.accuracy_meters > POOR_ACCURACY_METERS:
            flags |= _POOR
        return flags

    def adopt(self, marker: Fix) -> None:
        """Others know where the marker stands; it never goes back."""
        if self.marker is None or marker.sample_micros > self.marker.sample_micros:
            self.marker = marker
            if self.candidate is not None and self.candidate.sample_micros <= marker.sample_micros:
                self.candidate, self._detour = None, 0
        if self.last_micros is None:
            self.last_micros = marker.sample_micros

    def restore(self, recent: Sequence[tuple[Fix, int]]) -> None:
        """Take up what was judged before, here or elsewhere. recent: (fix, flags) as stored, first received first,
        none of them OUT_OF_ORDER; the marker is known already.
        """
        self._support = self._detour = 0
        for fix, flags in recent:
            agrees = self._detour > 0 and _agree(self.candidate, fix)
            if flags & _LEAP:
                self._detour = self._detour + 1 if agrees else 1
            else:
                if agrees:  # the fix that decided the detour
                    self._support = min(self._detour + 1, MANY)
                elif not flags:
                    self._support = min(self._support + 1, MANY)
                self._detour = 0
            self.candidate = fix if flags else None
            self.last_micros = fix.sample_micros

    def _is_decided(self, marker: Fix, leap: Fix, *, speaks_for_both: bool) -> bool:
        if self._detour < 2 or leap.sample_micros <= marker.sample_micros:
            return False
        if speaks_for_both:
            return self._detour > self._support
        artifact = is_artifact(marker, leap)
        if self._spans_messages:
            return not artifact or self._detour > self._support
        return not artifact and (self._support <= 1 or self._detour >= MANY)

    def _follow_detour(self, fixes: Sequence[Fix], flags: list[int], decided_at: int, decisive: Fix) -> list[Fix]:
        """The detour was the way: from where it was decided its fixes are no leaps, and those without any other flag
        move the marker. When all have one, the fix does that the deciding one agreed with.
        """
        clean = [fix for fix, odd in zip(fixes[decided_at:], flags[decided_at:], strict=True) if odd == _LEAP]
        moves = [fix for fix in clean or (decisive,) if self._move(fix)]
        if moves:
            flags[decided_at:] = [odd & ~_LEAP for odd in flags[decided_at:]]
            self._support, self._detour = min(self._detour, MANY), 0
            self.candidate = fixes[-1] if flags[-1] else None
        return moves

    def _move(self, fix: Fix) -> bool:
        marker = self.marker
        # Of fixes that count at the arrival of their message the later sampled one is the newer.
        if marker is not None and (
            fix.sample_micros < marker.sample_micros
            or (fix.sample_micros == marker.sample_micros and fix.ahead_micros <= marker.ahead_micros)
        ):
            return False
        self.marker = fix
        return True


def _agree(earlier: Fix | None, later: Fix) -> bool:
    return earlier is not None and later.sample_micros >= earlier.sample_micros and is_plausible(earlier, later)


def _can_follow(marker: Fix, fix: Fix) -> bool:
    """Whether one courier can have been at both, whichever counts first. `judge`, which runs for every position, has
    this in its own line.
    """
    return is_plausible(marker, fix) if fix.sample_micros >= marker.sample_micros else is_plausible(fix, marker)
