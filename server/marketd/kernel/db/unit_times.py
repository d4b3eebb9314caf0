"""How often units of work ran, how they ended and how long they took, by their names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds; what took longer is counted in the last bucket."""


@dataclass(slots=True)
class UnitTime:
    """The times of one unit of work that ended in one way. buckets: a count for each of BOUNDS, and one above them."""

    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))


class UnitTimes:
    """Counts and times by (unit, outcome); the outcome is OK, a refusal's reason, or BROKEN for a bug."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], UnitTime] = {}

    def note(self, unit: str, outcome: str, seconds: float) -> None:
        """Count one run. Names of units are constants, so the table stays small."""
        found = self._found.get((unit, outcome))
        if found is None:
            found = self._found[unit, outcome] = UnitTime()
        found.seconds += seconds
        found.buckets[bisect_left(BOUNDS, seconds)] += 1

    def __iter__(self) -> Iterator[tuple[str, str, UnitTime]]:
        for (unit, outcome), found in tuple(self._found.items()):
            yield unit, outcome, found
