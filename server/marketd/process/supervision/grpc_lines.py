"""Lines that the gRPC core writes to file descriptor 2 by itself: reading them, and how many of a kind are passed on.

The supervisor uses it too, for the last words of a worker: nothing is imported here that a lean process does without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 60.0
LINES_OF_A_KIND: Final = 10
"""So many lines of one place in the core's source are passed on a minute."""
OTHER_LINES: Final = 60
"""The same for all lines together that are not in the core's form."""
OTHER: Final = "other"

_MOST_KINDS = 200
_MOST_CHARACTERS = 1_000
# abseil's form: severity, month and day, time, thread, place, text. The core leaves the date at zeros.
_CORE = re.compile(r"([IWEF])\d{4} \S+ +\d+ ([\w./-]+:\d+)\] ?(.*)")
_SEVERITIES = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}


@dataclass(frozen=True, slots=True)
class GrpcLine:
    """One line; what is not in the core's form has the severity OTHER and no place."""

    severity: str
    place: str
    text: str


def parse(line: bytes) -> GrpcLine:
    """The line without its end."""
    text = readable(line)
    found = _CORE.fullmatch(text)
    if found is None:
        return GrpcLine(OTHER, "", text)
    return GrpcLine(_SEVERITIES[found[1]], found[2], found[3])


def readable(line: bytes) -> str:
    """The line as text of at most 1,000 characters, on which a terminal does nothing but show it."""
    text = line[: 4 * _MOST_CHARACTERS].decode(errors="backslashreplace")[:_MOST_CHARACTERS]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@dataclass(slots=True)
class _Window:
    ends: float
    passed: int = 0
    left_out: int = 0


class Throttle:
    """Says which lines are passed on: the first of each place in a minute. What peers provoke must not fill a disk."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def passes(self, line: GrpcLine) -> bool:
        """Whether this one is passed on; otherwise it is counted as left out."""
        # Text of a peer's that looks like a line of the core could make up places without end.
        place = line.place if line.place in self._windows or len(self._windows) < _MOST_KINDS else ""
        window = self._windows.get(place)
        if window is None:
            window = self._windows[place] = _Window(self._clock() + WINDOW_SECONDS)
        if window.passed < (LINES_OF_A_KIND if place else OTHER_LINES):
            window.passed += 1
            return True
        window.left_out += 1
        return False

    def ended(self, *, close: bool = False) -> Iterator[tuple[str, int]]:
        """The places of which lines were left out in windows that are over since the last call, and how many.

        close: every window is over, since no line comes any more.
        """
        now = self._clock()
        for place, window in list(self._windows.items()):
            if close or window.ends <= now:
                del self._windows[place]
                if window.left_out:
                    yield place, window.left_out

    def next_end_seconds(self) -> float | None:
        """How long until a window ends of which something was left out; None when there is none."""
        ends = [window.ends for window in self._windows.values() if window.left_out]
        return max(0.0, min(ends) - self._clock()) if ends else None
