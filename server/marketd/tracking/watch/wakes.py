"""Wake-ups by id for one task that serves many: the feed says that an aggregate changed, the task learns which ones."""

from __future__ import annotations

import asyncio
from uuid import UUID

from marketd.kernel.events.feed import Feed, Watch


class Wakes:
    """A set of ids that need a look. One task waits for it; a lost wake-up is made good by that task's own polls."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._watches: dict[UUID, _KeyedWatch] = {}
        self._dirty: set[UUID] = set()
        self._event = asyncio.Event()

    def add(self, key: UUID) -> None:
        """Also hear of this id, and look at it now: it may have changed while it was being read."""
        if key not in self._watches:
            self._watches[key] = _KeyedWatch(self._feed, self, key)
        self.touch(key)

    def remove(self, key: UUID) -> None:
        """Hear of it no more."""
        watch = self._watches.pop(key, None)
        if watch is not None:
            watch.close()
        self._dirty.discard(key)

    def touch(self, key: UUID) -> None:
        """It needs a look."""
        self._dirty.add(key)
        self._event.set()

    async def take(self, seconds: float) -> set[UUID]:
        """The ids that need a look; empty when none did for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return set()
        self._event.clear()
        taken, self._dirty = self._dirty, set()
        return taken


class _KeyedWatch(Watch):
    """A watch of the feed on one id that marks it instead of waking a task of its own: there are thousands of them."""

    def __init__(self, feed: Feed, wakes: Wakes, key: UUID) -> None:
        super().__init__(feed)
        self._wakes = wakes
        self._key = key
        feed.open.add(self)
        self.add(key)

    def wake(self) -> None:
        self._wakes.touch(self._key)
