"""One watcher of a delivery: what waits for it, and the wait itself.

It has one slot for positions, in which the newest wins, and a queue for what may not be lost. Each has the number of
its publication, so a position never overtakes an event or the other way round.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.tracking.errors import WatcherTooSlow
from marketd.tracking.watch.values import Audience

NO_POSITION: Final = -1
"""A sample time before all others: no position was seen yet."""
# Overflow rule: a watcher with this many events unread is ended (SLOW_CONSUMER) and resumes from the database.
MAX_QUEUED: Final = 256


class Watcher:
    """A slot, a queue and a future of its own, so that no watcher's end disturbs another.

    `beat_time` is when its next heartbeat is due, on the loop's clock.
    """

    __slots__ = (
        "_beat",
        "_due_time",
        "_interval",
        "_last_micros",
        "_loop",
        "_not_theirs",
        "_overflowed",
        "_queue",
        "_slot",
        "_timer",
        "_waiter",
        "audience",
        "beat_time",
        "caller",
    )

    def __init__(self, caller: Caller, audience: Audience, *, max_rate_hz: float, after_micros: int) -> None:
        """`after_micros`: the newest position that it has seen; older ones are not shown."""
        self.caller = caller
        self.audience = audience
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[int, bytes, bool]] = deque()
        self._slot: tuple[int, int, bytes] | None = None
        self._beat: bytes | None = None
        self._last_micros = after_micros
        self._interval = 1.0 / max_rate_hz if max_rate_hz > 0 else 0.0
        self._due_time = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._overflowed = False
        self._not_theirs: UUID | None = None
        self.beat_time = 0.0

    def seen(self, sample_micros: int) -> None:
        """The watcher was given this position another way."""
        self._last_micros = max(self._last_micros, sample_micros)

    def show(self, number: int, sample_micros: int, frame: bytes) -> None:
        """A position; it replaces one that still waits."""
        if sample_micros > self._last_micros:
            self._slot = (number, sample_micros, frame)
            self._wake()

    def tell(self, number: int, frame: bytes, *, final: bool = False) -> None:
        """Something that may not be lost; after a final one the stream ends."""
        if len(self._queue) >= MAX_QUEUED:
            self._overflowed = True
        else:
            self._queue.append((number, frame, final))
        self._wake()

    def dismiss(self, delivery_id: UUID) -> None:
        """The delivery is not the watcher's to see any more: nothing of what waits is shown."""
        self._not_theirs = delivery_id
        self._wake()

    def beat(self, frame: bytes) -> None:
        """A heartbeat; it waits behind everything else."""
        self._beat = frame
        self._wake()

    async def next(self) -> tuple[bytes, bool]:
        """The next message, and whether it is the last. Raises WatcherTooSlow, and NotFound once dismissed."""
        while True:
            taken = self._take()
            if taken is not None:
                return taken
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self) -> tuple[bytes, bool] | None:
        if self._overflowed:
            raise WatcherTooSlow
        if self._not_theirs is not None:
            raise NotFound("delivery", self._not_theirs)
        queue, slot = self._queue, self._slot
        if slot is not None and (not queue or slot[0] < queue[0][0]) and self._may_show(queue):
            self._slot = self._beat = None  # a message is a sign of life as well
            self._last_micros = slot[1]
            return slot[2], False
        if queue:
            self._beat = None
            _, frame, final = queue.popleft()
            return frame, final
        if self._beat is not None:
            frame, self._beat = self._beat, None
            return frame, False
        return None

    def _may_show(self, queue: deque[tuple[int, bytes, bool]]) -> bool:
        """Whether the watcher's rate allows a position now; an event that waits behind it makes it go first."""
        if not self._interval:
            return True
        now = self._loop.time()
        if now < self._due_time and not queue:
            if self._timer is None:
                self._timer = self._loop.call_at(self._due_time, self._ring)
            return False
        self._due_time = now + self._interval
        return True

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
