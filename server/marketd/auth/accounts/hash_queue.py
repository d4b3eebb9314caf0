"""Who is hashed next: three lanes before a few threads, so that a flood of strangers does not keep out whom we know.

A hash costs a quarter of a second of a core on purpose, and whoever sends forty wrong passwords a second would fill any
queue. What is decided here costs nothing, and says nothing: how long somebody waits depends on the lane alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from marketd.kernel.call import call as calls
from marketd.kernel.call.refusals import Overloaded

T = TypeVar("T")

THREADS: Final = 2
MAX_WAITING: Final = 32
"""Overflow rule: beyond so many in a lane one more is refused as OVERLOADED at once, and so is what would not be done
before the call's deadline; what others overtook until it is too late is refused so then.
"""
MAX_OF_ACCOUNT: Final = 2
"""So many hashes of one account are in a better lane at once; what it wants beyond them counts as a stranger's.

Each lane counts for itself: who guesses at the name of a device must not take the places of who is at home.
"""
# Of so many turns one is the next lane's, and one the strangers', whoever else waits: a flood of accounts that were
# made for it keeps newcomers waiting, and not out.
_ROUND: Final = 8
# For so long after one of them was turned away strangers leave a thread free: nobody who is known then waits for a
# stranger's hash, or shares the cores with more of them than need be.
_CROWDED_SECONDS: Final = 5.0
# How much the latest hash counts in what we expect of the next; other processes change it all the time.
_WEIGHT: Final = 0.2
# A hash may wait for this part of the time that the call has left; the sign-in itself needs some, too.
_PART: Final = 0.9


class Lane(IntEnum):
    """How well whoever asks is known; a lesser number goes first."""

    KNOWN = 0
    """The account with a device and a network that it signed in with before, a session, or a token from its mailbox."""
    DEVICE = 1
    """The account with a device that it signed in with before, somewhere else."""
    STRANGER = 2
    """Everybody else: unknown names, known names with other devices, and whoever registers."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants something hashed. `user_id` is the account's in the better lanes."""

    lane: Lane = Lane.STRANGER
    user_id: UUID | None = None


STRANGER: Final = Asker()


@dataclass(slots=True)
class Turn:
    """Whether a hash has begun; what nobody waits for any more never does."""

    begun: bool = False


@dataclass(slots=True, eq=False)
class _Entry:
    asker: Asker
    turn: Turn
    work: Callable[[], Any]
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class HashQueue:
    """Runs what it is given in THREADS threads of its own; `close` ends them. It belongs to one event loop."""

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._lanes: dict[Lane, deque[_Entry]] = {lane: deque() for lane in Lane}
        self._of_account: Counter[Asker] = Counter()
        self._running: Counter[Lane] = Counter()
        self._crowded_until = -math.inf
        self._turns = 0
        self._hash_seconds = 0.0
        self.entered = 0
        """How many were let in so far."""

    def check_room(self, asker: Asker) -> None:
        """Raises Overloaded when one more of these would be refused now."""
        lane = self._laned(asker).lane
        is_full = self._running.total() + len(self._lanes[lane]) >= THREADS + self._max_waiting
        if is_full or self._would_be_late(lane):
            if lane is Lane.STRANGER:
                self._crowded_until = time.monotonic() + _CROWDED_SECONDS
            raise Overloaded

    async def run(self, work: Callable[[], T], turn: Turn, asker: Asker) -> T:
        """The result of `work`, done in a thread when it is its turn. Raises Overloaded when there is no room or time.

        A call that is over leaves its place; what has begun goes on all the same.
        """
        self.check_room(asker)
        entry = _Entry(self._laned(asker), turn, work)
        self.entered += 1
        self._count(entry, 1)
        self._lanes[entry.asker.lane].append(entry)
        self._begin_next()
        expiry = None if turn.begun else self._expire_in_time(entry)
        try:
            return cast("T", await asyncio.shield(entry.done))
        except asyncio.CancelledError:
            self._leave(entry)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes.values():
            for entry in lane:
                entry.done.cancel()
            lane.clear()

    def _expire_in_time(self, entry: _Entry) -> asyncio.TimerHandle | None:
        remaining = calls.current().remaining_seconds(math.inf)
        if remaining == math.inf:
            return None

        def expire() -> None:
            if self._leave(entry):
                entry.done.set_exception(Overloaded())

        return asyncio.get_running_loop().call_later(_PART * remaining - self._hash_seconds, expire)

    def _leave(self, entry: _Entry) -> bool:
        """Give the place up; False when it had none, for its hash has begun."""
        lane = self._lanes[entry.asker.lane]
        if entry not in lane:
            return False
        lane.remove(entry)
        self._count(entry, -1)
        return True

    def _laned(self, asker: Asker) -> Asker:
        """The asker, as a stranger when its account has enough in the better lanes."""
        crowd = asker.user_id is not None and self._of_account[asker] >= MAX_OF_ACCOUNT
        return STRANGER if crowd else asker

    def _count(self, entry: _Entry, change: int) -> None:
        if entry.asker.user_id is not None:
            self._of_account[entry.asker] += change
            if not self._of_account[entry.asker]:
                del self._of_account[entry.asker]

    def _would_be_late(self, lane: Lane) -> bool:
        """Whether the call would be over before its hash is; not asked of one that need not wait.

        That one is what measures: after a machine that stood still for a minute nobody would be let in ever again.
        """
        running = self._running.total()
        before = running + sum(len(self._lanes[better]) for better in Lane if better <= lane)
        expected_seconds = self._hash_seconds * (1 + before / self._threads_for(lane))
        must_wait = running >= THREADS or self._running[lane] >= self._threads_for(lane)
        return must_wait and expected_seconds > _PART * calls.current().remaining_seconds(math.inf)

    def _threads_for(self, lane: Lane) -> int:
        is_crowded = lane is Lane.STRANGER and time.monotonic() < self._crowded_until
        return THREADS - 1 if is_crowded else THREADS

    def _begin_next(self) -> None:
        while self._running.total() < THREADS and (entry := self._next()) is not None:
            entry.turn.begun = True
            self._running[entry.asker.lane] += 1
            future = asyncio.get_running_loop().run_in_executor(self._executor, self._timed, entry.work)
            future.add_done_callback(partial(self._ended, entry))

    def _next(self) -> _Entry | None:
        waiting = [lane for lane in Lane if self._lanes[lane] and self._running[lane] < self._threads_for(lane)]
        if not waiting:
            return None
        self._turns = (self._turns + 1) % _ROUND
        first = {0: Lane.STRANGER, _ROUND // 2: Lane.DEVICE}.get(self._turns, Lane.KNOWN)
        return self._lanes[first if first in waiting else waiting[0]].popleft()

    def _timed(self, work: Callable[[], T]) -> T:
        before = time.perf_counter()
        done = work()
        # Two threads write it without a lock: a measurement that is lost now and then is no harm.
        self._hash_seconds += _WEIGHT * (time.perf_counter() - before - self._hash_seconds)
        return done

    def _ended(self, entry: _Entry, future: asyncio.Future[Any]) -> None:
        self._running[entry.asker.lane] -= 1
        self._count(entry, -1)
        if future.cancelled():
            entry.done.cancel()
        elif (error := future.exception()) is not None:
            entry.done.set_exception(error)
            entry.done.exception()  # retrieved: nobody may be waiting any more
        else:
            entry.done.set_result(future.result())
        self._begin_next()
