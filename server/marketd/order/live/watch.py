"""Watching all of one's orders: how those that are open are, then every step of any.

A new watch begins with a snapshot, one that comes back with what it has missed; both end at an instant from which on
the hub hands over all that is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias
from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.horizon import Horizon
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events.watch import BEAT_SECONDS, Beat, ResetReason
from marketd.kernel.values.clock import Clock
from marketd.order import lists
from marketd.order.history import repository
from marketd.order.history.values import FollowedEvent
from marketd.order.live.hub import OrderHub, Watcher
from marketd.order.live.places import Place
from marketd.order.live.read import in_order, read_steps
from marketd.order.live.values import Following, OrdersNews, OrdersReset, OrdersSnapshot, Step, Steps, StepTold
from marketd.order.model import OrderState
from marketd.order.values import OrderFilter
from marketd.seller import service as sellers

SNAPSHOT_SIZE: Final = 100
OPEN: Final = tuple(state for state in OrderState if not state.is_over)
"""What a snapshot shows where no states are asked for, in the contract's order."""
_PAGE: Final = 100

Told: TypeAlias = "tuple[Place | None, OrdersNews | Beat]"
"""News, with the place behind them; None for a reset, after which nobody has seen the snapshot."""


async def watch_orders(
    tx: Transactor,
    hub: OrderHub,
    clock: Clock,
    caller: Caller,
    wanted: OrderFilter,
    after: Place | ResetReason | None,
    *,
    beat_seconds: float = BEAT_SECONDS,
) -> AsyncGenerator[Told, None]:
    """What happens to the caller's orders, to anybody's for admins, without end; close it to stop.

    `after`: where to go on, or why that cannot be. A new watch is refused by an absent database; one that goes on waits
    such troubles out, for as long as the hub does.
    """
    following = Following(None if caller.has(Role.ADMIN) else caller.known_user_id, wanted)
    watcher = await hub.join(following)
    try:
        watch = _Watch(tx, hub, watcher)
        if isinstance(after, ResetReason):
            yield None, OrdersReset(after)
        if isinstance(after, Place) and not await tx.read_patiently(partial(_is_of_here, after)):
            # Another database's: this one was restored from a copy that is older than the token.
            yield None, OrdersReset(ResetReason.EVENTS_LOST)
            after = None
        if isinstance(after, Place):
            watch.place, watcher.is_behind = after, True
        else:
            watch.place, snapshot = await tx.read(partial(_snapshot, following))
            yield watch.place, snapshot
        loop = asyncio.get_running_loop()
        told = loop.time()
        while True:
            async with aclosing(watch.news()) as news:
                async for item in news:
                    told = loop.time()
                    yield item
            quiet = beat_seconds - (loop.time() - told)
            if quiet <= 0:
                told = loop.time()
                yield watch.rest(), Beat(clock.now())
                continue
            await watcher.wait(quiet)
    finally:
        hub.leave(watcher)


class _Watch:
    """One watch between two of its waits."""

    place: Place

    def __init__(self, tx: Transactor, hub: OrderHub, watcher: Watcher) -> None:
        self._tx = tx
        self._hub = hub
        self._watcher = watcher

    async def news(self) -> AsyncGenerator[tuple[Place, StepTold], None]:
        """All that there is now."""
        while True:
            if self._watcher.broken is not None:
                raise self._watcher.broken
            if self._watcher.is_behind:
                self._watcher.is_behind = False
                async with aclosing(self._missed()) as missed:
                    async for item in missed:
                        yield item
            elif (batch := self._watcher.next()) is not None:
                for item in self._handed(batch):
                    yield item
            else:
                return

    def rest(self) -> Place:
        """Where the watch stands when nothing waits for it: where the hub does, so the token is as short as it can be,
        and whoever comes back with it has little to read.
        """
        position = self._hub.position
        if position is not None and not self._watcher.is_behind and position[0].rank >= self.place.since.rank:
            self.place = Place(*position)
        return self.place

    def _handed(self, batch: Steps) -> list[tuple[Place, StepTold]]:
        if batch.until.rank <= self.place.since.rank:
            return []
        steps = batch.steps
        if batch.since.rank >= self.place.since.rank:
            # What lies between was nothing to this watcher, or it would have been handed over.
            self.place = Place(batch.since, batch.since_time)
        else:
            steps = _unseen(steps, self.place)
        begin, self.place = self.place, Place(batch.until, batch.until_time)
        last = len(steps)
        return [
            (self.place if number == last else replace(begin, until=batch.until, told=number), self._told(step))
            for number, step in enumerate(steps, start=1)
        ]

    async def _missed(self) -> AsyncGenerator[tuple[Place, StepTold], None]:
        """What the place has not seen, out of the database."""
        place = self.place
        until_time: datetime | None = None
        while True:
            if place.until is None:
                horizon, until_time = await self._tx.read_patiently(_look)
                place = replace(place, until=horizon)
            steps = await self._tx.read_patiently(partial(_read_missed, self._watcher.following, place))
            for step in steps:
                place = self.place = replace(place, told=place.told + 1)
                yield place, self._told(step)
            if len(steps) == _PAGE:
                continue
            until = place.until
            if until is None:
                raise RuntimeError("a place without an end was read to its end")
            place = self.place = Place(until, until_time or place.taken_time)
            if until_time is not None:
                return

    def _told(self, step: Step) -> StepTold:
        return StepTold(self._watcher.following.way_of(step.event), step)


def _unseen(steps: Collection[Step], place: Place) -> list[Step]:
    """Those that the place has not seen, in the order that they would be read in after it."""
    left = {step.event: step for step in steps if not place.since.sees(step.event.transaction_id)}
    return [left[event] for event in in_order(left)]


async def _is_of_here(place: Place, unit: ReadUnit) -> bool:
    now = await repository.read_horizon(unit.connection)
    return max(place.since.end, place.until.end if place.until else 0) <= now.end


async def _snapshot(following: Following, unit: ReadUnit) -> tuple[Place, OrdersSnapshot]:
    """The orders, and exactly what was committed when they were so."""
    wanted = following.wanted if following.wanted.states else replace(following.wanted, states=OPEN)
    async with unit.connection.transaction(isolation="repeatable_read", readonly=True):
        horizon = await repository.read_horizon(unit.connection)
        found = await lists.list_orders(
            unit.connection, wanted, following.account_id, None, SNAPSHOT_SIZE + 1, in_hands=False
        )
    shown = tuple(found[:SNAPSHOT_SIZE])
    return Place(horizon, unit.now), OrdersSnapshot(shown, len(found) > SNAPSHOT_SIZE)


async def _look(unit: ReadUnit) -> tuple[Horizon, datetime]:
    return await repository.read_horizon(unit.connection), unit.now


async def _read_missed(following: Following, place: Place, unit: ReadUnit) -> list[Step]:
    account: tuple[UUID, list[UUID]] | None = None
    if following.account_id is not None:
        account = following.account_id, await sellers.sellers_of(unit, following.account_id)
    if place.until is None:
        raise RuntimeError("what was missed ends somewhere")
    events: list[FollowedEvent] = await repository.list_missed(
        unit.connection, following.wanted, account, place.since, place.until, place.oldest, place.told, _PAGE
    )
    return await read_steps(unit, events)
