"""Who comes next: what one account sends must not keep another's waiting for all of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from marketd.kernel.call.refusals import Overloaded

_Queue: TypeAlias = "deque[asyncio.Future[None]]"


class Turns:
    """Places that owners take in turns: of what waits, one of each owner's comes before a second of anybody's.

    At most `most` wait. When it is full, the last of who has most of it waiting gives way to who has less.
    """

    def __init__(self, places: int, most: int) -> None:
        self._free = places
        self._most: Final = most
        # In the order of the turns.
        self._waiting: dict[Hashable, _Queue] = {}

    @asynccontextmanager
    async def taken(self, owner: Hashable) -> AsyncIterator[None]:
        """A place, once it is the owner's turn. Raises Overloaded, at once or when it has to give way."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(owner)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, owner: Hashable) -> None:
        self._make_room(owner)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                self._pass_on()  # the place came in the same moment
            self._drop(owner, turn)
            raise

    def _make_room(self, owner: Hashable) -> None:
        if sum(map(len, self._waiting.values())) < self._most:
            return
        fullest = max(self._waiting, key=lambda one: len(self._waiting[one]), default=owner)
        if len(self._waiting.get(fullest, ())) <= len(self._waiting.get(owner, ())) + 1:
            raise Overloaded
        last = self._waiting[fullest][-1]
        self._drop(fullest, last)
        if not last.done():
            last.set_exception(Overloaded())

    def _drop(self, owner: Hashable, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(owner)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[owner]

    def _pass_on(self) -> None:
        while self._waiting:
            owner, queue = next(iter(self._waiting.items()))
            turn = queue.popleft()
            # Whoever has had a turn is behind all others.
            del self._waiting[owner]
            if queue:
                self._waiting[owner] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
