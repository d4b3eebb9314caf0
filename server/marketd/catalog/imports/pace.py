"""How long an import will take yet, by how fast it went lately. Pure."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 15.0
_ENOUGH_SECONDS = 1.0


class Pace:
    """How fast something goes. What was done long ago counts less: a repeat runs through what is unchanged."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def remaining_seconds(self, now: float, done: int, total: int) -> float | None:
        """The time left at `now` (seconds of a clock that never goes back); None as long as it cannot be told."""
        if not self._seen or now - self._seen[-1][0] >= 0.2:
            self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _WINDOW_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        if now - since < _ENOUGH_SECONDS or done <= before:
            return None
        return (now - since) / (done - before) * max(0, total - done)
