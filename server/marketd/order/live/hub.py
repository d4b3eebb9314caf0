"""The hub of one worker: reads every step of an order once, as soon as it is committed, and hands it to those who
follow the order. Nothing here waits for a watcher.

Each watcher's queue is bounded: one that falls behind, or a gap in what the hub has read, sends the watcher back to the
database, where all of it still stands (watch.py). With nobody watching, nothing is read.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from marketd.kernel.call.refusals import DatabaseUnavailable, Refusal
from marketd.kernel.db.horizon import Horizon
from marketd.kernel.db.transactor import PATIENCE_SECONDS, Committed, Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import POLL_SECONDS
from marketd.order.events import OrderEvent
from marketd.order.history import repository
from marketd.order.history.values import FollowedEvent
from marketd.order.live.places import SLACK
from marketd.order.live.read import in_order, read_steps
from marketd.order.live.values import Following, Step, Steps

_log = structlog.get_logger(__name__)

ORDERS: Final = UUID("a3c0e2c4-7a52-4f0e-9d51-6f1f5b1d6a10")
"""The feed's id for all orders together."""
GATHER_SECONDS: Final = 0.03
"""What is committed within this time is read at once."""
MAX_READ: Final = 1_000
"""More steps than this at once are a gap: each watcher then reads its own."""
MAX_QUEUED: Final = 500
"""So many steps wait for a watcher that is slow; then it reads them itself when it comes to it."""
_JOIN_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.3


class Watcher:
    """One watcher's end: what the hub has for it."""

    def __init__(self, following: Following) -> None:
        self.following = following
        self.is_behind = False
        self.broken: Refusal | None = None
        self._queue: deque[Steps] = deque()
        self._queued = 0
        self._wake = asyncio.Event()

    def tell(self, batch: Steps) -> None:
        """Hand it what is new."""
        if self._queued + len(batch.steps) > MAX_QUEUED:
            self.fall_behind()
            return
        self._queue.append(batch)
        self._queued += len(batch.steps)
        self._wake.set()

    def fall_behind(self) -> None:
        """Something is missing here: it has to be read from the database."""
        self.is_behind = True
        self._queue.clear()
        self._queued = 0
        self._wake.set()

    def fail(self, refusal: Refusal) -> None:
        """The hub cannot read, and has tried for long enough."""
        self.broken = refusal
        self._wake.set()

    def next(self) -> Steps | None:
        """What was handed to it first; None when there is nothing."""
        if not self._queue:
            return None
        batch = self._queue.popleft()
        self._queued -= len(batch.steps)
        return batch

    async def wait(self, seconds: float) -> None:
        """Wait until there may be something, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()


class OrderHub:
    """One for each process; `run` it beside the server."""

    def __init__(
        self,
        tx: Transactor,
        feed: Feed,
        *,
        poll_seconds: float = POLL_SECONDS,
        gather_seconds: float = GATHER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._tx = tx
        self._feed = feed
        self._poll_seconds = poll_seconds
        self._gather_seconds = gather_seconds
        self._patience_seconds = patience_seconds
        self._by_account: dict[UUID, set[Watcher]] = defaultdict(set)
        self._of_all: set[Watcher] = set()
        self._occupied = asyncio.Event()
        self._positioned = asyncio.Event()
        self._horizon: Horizon | None = None
        self._taken_time: datetime | None = None
        self.read_count = 0
        """How many steps were read with their orders, for those who measure."""

    @property
    def position(self) -> tuple[Horizon, datetime] | None:
        """What was handed on to everybody, and when that was the present."""
        if self._horizon is None or self._taken_time is None:
            return None
        return self._horizon, self._taken_time

    def committed(self, committed: Committed) -> None:
        """A transactor's listener: an order has changed, on whichever worker somebody watches it."""
        if any(isinstance(event, OrderEvent) for event in committed.events):
            self._feed.wake(ORDERS)

    async def join(self, following: Following) -> Watcher:
        """A watcher that is handed all that is committed from now on, and perhaps a little from before; let it `leave`.

        Raises DatabaseUnavailable when the hub cannot begin.
        """
        watcher = Watcher(following)
        group = self._of_all if following.account_id is None else self._by_account[following.account_id]
        group.add(watcher)
        self._occupied.set()
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                await self._positioned.wait()
        except BaseException as error:
            self.leave(watcher)
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailable from error
            raise
        # It begins after the hub's position, so it has missed nothing, also of a hub that has just begun anew.
        watcher.is_behind = False
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """The watcher goes."""
        account_id = watcher.following.account_id
        if account_id is None:
            self._of_all.discard(watcher)
        elif (group := self._by_account.get(account_id)) is not None:
            group.discard(watcher)
            if not group:
                del self._by_account[account_id]
        if not self.is_occupied:
            self._occupied.clear()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._occupied.wait()
            # Before the first read, so that nothing that is committed in between is slept over.
            interest = self._feed.watch(ORDERS)
            try:
                await self._follow(interest.wait)
            finally:
                interest.close()
                self._horizon = self._taken_time = None
                self._positioned.clear()

    @property
    def is_occupied(self) -> bool:
        """Whether anybody follows anything."""
        return bool(self._of_all or self._by_account)

    def _watchers(self) -> list[Watcher]:
        return [*self._of_all, *(each for group in self._by_account.values() for each in group)]

    async def _follow(self, wait: Callable[[float], Awaitable[bool]]) -> None:
        loop = asyncio.get_running_loop()
        for watcher in self._watchers():
            # Those of a run that failed: nobody has read for them meanwhile.
            watcher.fall_behind()
        well = loop.time()
        while self.is_occupied:
            try:
                await self._read()
            except Refusal as refusal:
                _log.warning("order_watchers_waiting", reason=refusal.reason.value)
                if loop.time() - well > self._patience_seconds:
                    for watcher in self._watchers():
                        watcher.fail(refusal)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            well = loop.time()
            if await wait(self._poll_seconds):
                await asyncio.sleep(self._gather_seconds)

    async def _read(self) -> None:
        since, taken = self._horizon, self._taken_time
        if since is None or taken is None:
            self._horizon, self._taken_time = await self._tx.read(_look)
            self._positioned.set()
            return

        async def read(unit: ReadUnit) -> tuple[Horizon, datetime, list[FollowedEvent], list[Step]]:
            until, events = await repository.read_new(unit.connection, since, taken - SLACK, MAX_READ)
            # Whoever joins later than this begins with what these are part of.
            wanted = [] if len(events) == MAX_READ else [event for event in in_order(events) if self._is_wanted(event)]
            return until, unit.now, events, await read_steps(unit, wanted)

        until, now, events, steps = await self._tx.read(read)
        self._horizon, self._taken_time = until, now
        if len(events) == MAX_READ:
            for watcher in self._watchers():
                watcher.fall_behind()
            return
        self.read_count += len(steps)
        for watcher, own in self._shared_out(steps).items():
            watcher.tell(Steps(since, taken, until, now, own))

    def _is_wanted(self, event: FollowedEvent) -> bool:
        return any(watcher.following.fits(event) for watcher in self._near(event))

    def _shared_out(self, steps: list[Step]) -> dict[Watcher, list[Step]]:
        shares: dict[Watcher, list[Step]] = defaultdict(list)
        for step in steps:
            for watcher in self._near(step.event):
                if watcher.following.fits(step.event):
                    shares[watcher].append(step)
        return shares

    def _near(self, event: FollowedEvent) -> set[Watcher]:
        nobody: set[Watcher] = set()
        bought = self._by_account.get(event.buyer_id, nobody)
        return self._of_all | bought | self._by_account.get(event.owner_user_id, nobody)


async def _look(unit: ReadUnit) -> tuple[Horizon, datetime]:
    return await repository.read_horizon(unit.connection), unit.now
