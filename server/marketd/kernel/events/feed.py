"""The feed: wakes whoever watches an aggregate when it has new events. Watchers read the events themselves, from the
outbox, after the last sequence number they have seen, so a lost wake-up costs at most one poll.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from uuid import UUID

from marketd.kernel.db.transactor import Committed
from marketd.kernel.events.broadcast import Broadcast

TOPIC = "events"


class Watch:
    """One watcher's interest in a set of aggregates. Each watcher has its own event, so none cancels another."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._wake = asyncio.Event()
        self._keys: set[UUID] = set()

    def add(self, *keys: UUID) -> None:
        """Also wake for these aggregates."""
        for key in keys:
            self._keys.add(key)
            self._feed.watches[key].add(self)

    def wake(self) -> None:
        """Make the next `wait` return at once."""
        self._wake.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a wake-up, at most `seconds`; False when the time ran out. Poll the database either way."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    def close(self) -> None:
        """Stop watching."""
        for key in self._keys:
            watchers = self._feed.watches.get(key)
            if watchers is not None:
                watchers.discard(self)
                if not watchers:
                    del self._feed.watches[key]
        self._feed.open.discard(self)


class Feed:
    """Wake-ups by aggregate id (or any other id that slices wake by hand), for this worker and, by broadcast, all."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self.watches: dict[UUID, set[Watch]] = defaultdict(set)
        self.open: set[Watch] = set()
        broadcast.subscribe(TOPIC, self._receive, self._gap)

    def watch(self, *keys: UUID) -> Watch:
        """A watch on these aggregates; close it in a `finally`."""
        watch = Watch(self)
        self.open.add(watch)
        watch.add(*keys)
        return watch

    def committed(self, committed: Committed) -> None:
        """A transactor's listener: wake the watchers of every aggregate that has new events."""
        self.wake(*{event.aggregate_id for event in committed.events})

    def wake(self, *keys: UUID) -> None:
        """Wake the watchers of these ids on every worker. At most 200 ids travel in one message."""
        ids = [key.bytes for key in keys]
        for start in range(0, len(ids), 200):
            self._broadcast.publish(TOPIC, b"".join(ids[start : start + 200]))

    def _receive(self, payload: bytes) -> None:
        for start in range(0, len(payload), 16):
            for watch in tuple(self.watches.get(UUID(bytes=payload[start : start + 16]), ())):
                watch.wake()

    def _gap(self) -> None:
        for watch in tuple(self.open):
            watch.wake()
