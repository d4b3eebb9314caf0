"""A recorded trace as values: its points, what was changed or left out to get them, and moving them in time.

Points keep the order of the file: real receivers jump and their clocks go back, and the server is to judge that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

# A pause of the recording is played as at most this long; its samples stay as far apart as they were.
_LONGEST_PLAYED_GAP_SECONDS = 60.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(seconds=1)


class TraceError(Exception):
    """A trace that cannot be read, in a sentence that says where, what was found and what is taken."""


@dataclass(frozen=True)
class TracePoint:
    """One sample. Coordinates are as recorded, also when they are impossible; times have a zone."""

    time: datetime
    latitude: float
    longitude: float
    accuracy_meters: float | None = None
    speed_mps: float | None = None
    heading_degrees: float | None = None

    @property
    def is_on_earth(self) -> bool:
        """Whether the coordinates can be a place."""
        # Comparisons with a NaN are false, so this refuses it too.
        return abs(self.latitude) <= 90 and abs(self.longitude) <= 180


class Sample(NamedTuple):
    """A fix as a file has it: like a TracePoint, but the time may be missing."""

    time: datetime | None
    latitude: float
    longitude: float
    accuracy_meters: float | None = None
    speed_mps: float | None = None
    heading_degrees: float | None = None


@dataclass(frozen=True)
class Recording:
    """What a reader has found in a file: its fixes, the lines of what has no fix, and what else is to be said."""

    samples: Sequence[Sample]
    without_fix: Sequence[int] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Trace:
    """A trace that can be played.

    `left_out` counts what had no fix, `times_made` the points whose time is not the file's; `notes` says both in words,
    and whatever else is not as it stands in the file.
    """

    points: Sequence[TracePoint]
    left_out: int = 0
    times_made: int = 0
    notes: Sequence[str] = ()


def timed(recording: Recording) -> Trace:
    """The trace of a recording, with a time for every point. Raises TraceError when it has no point.

    A missing time is counted back from the first that there is, spread evenly between two, or counted on from the last,
    a second each.
    """
    samples, notes = recording.samples, list(recording.notes)
    left_out = len(recording.without_fix)
    if not samples:
        raise TraceError(f"none of its {left_out} points has a fix" if left_out else "the trace has no points")
    if left_out:
        notes.append(f"{left_out} without a fix left out, the first in line {recording.without_fix[0]}")
    known = [(index, sample.time) for index, sample in enumerate(samples) if sample.time is not None]
    made = len(samples) - len(known)
    if not known:
        notes.append("no point has a time: they are taken a second apart")
        known = [(0, _EPOCH)]
    elif made:
        before, after = known[0][0], len(samples) - 1 - known[-1][0]
        ways = (
            (before, "before the first time: counted back from it, a second each"),
            (made - before - after, "between two times: spread between them"),
            (after, "after the last time: counted on from it, a second each"),
        )
        notes += [f"{count} without a time {way}" for count, way in ways if count]
    times = _filled(known, len(samples))
    points = [TracePoint(time, *sample[1:]) for time, sample in zip(times, samples, strict=True)]
    return Trace(points, left_out, made, notes)


def _filled(known: Sequence[tuple[int, datetime]], count: int) -> list[datetime]:
    """`count` times, of which these are known, by index; at least one is."""
    first, time = known[0]
    times = [time - _STEP * (first - index) for index in range(first + 1)]
    for (before, earlier), (after, later) in itertools.pairwise(known):
        missing = after - before
        # A clock that went back between them says nothing about how far apart the others are.
        step = (later - earlier) / missing if later > earlier else _STEP
        times += [earlier + step * number for number in range(1, missing)]
        times.append(later)
    last, time = known[-1]
    return times + [time + _STEP * number for number in range(1, count - last)]


def shifted_to_end(points: Sequence[TracePoint], end: datetime) -> list[TracePoint]:
    """The same points moved in time so that the latest is at `end`; the spacing stays as it was."""
    by = end - max(point.time for point in points)
    return [replace(point, time=point.time + by) for point in points]


def waits(points: Sequence[TracePoint]) -> list[float]:
    """How many seconds to wait before each point when playing at the recorded speed; never negative."""
    steps = [0.0]
    for before, after in itertools.pairwise(points):
        gap = (after.time - before.time).total_seconds()
        steps.append(min(max(gap, 0.0), _LONGEST_PLAYED_GAP_SECONDS))
    return steps


def ends(points: Iterable[TracePoint]) -> tuple[TracePoint, TracePoint]:
    """The first and last point that can be a place. Raises TraceError when there is none."""
    real = [point for point in points if point.is_on_earth]
    if not real:
        raise TraceError("no point of the trace is a place on earth")
    return real[0], real[-1]
