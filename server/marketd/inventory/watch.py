"""Watching stocks: how they are, then every change in order, out of the outbox.

Each event carries the stock after it, so a change is shown as it was and not as it is by now. Every stock has its own
numbers, so the place of a watch is one number for each, in the order of the ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import TypeAlias
from uuid import UUID

from marketd.inventory import repository
from marketd.inventory.access import owned
from marketd.inventory.events import StockChanged
from marketd.inventory.model import StockPolicy
from marketd.inventory.places import Places
from marketd.inventory.values import Stock
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.events import StoredEvent, read_event
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import BEAT_SECONDS, OF_NO_USE, Batch, Beat, ResetReason, watch

BATCH = 50
"""How many events of each stock are read at a time."""


@dataclass(frozen=True, slots=True)
class StockSnapshot:
    """How the stocks are, in the order of their ids; everything after the message's place follows."""

    stocks: tuple[Stock, ...]


@dataclass(frozen=True, slots=True)
class StockUpdate:
    """How a stock was after an event."""

    stock: Stock


@dataclass(frozen=True, slots=True)
class StockReset:
    """What was missed cannot be told any more; a snapshot follows."""

    reason: ResetReason


StockNews: TypeAlias = StockSnapshot | StockUpdate | StockReset


def watch_stocks(
    tx: Transactor,
    feed: Feed,
    caller: Caller,
    variant_ids: Sequence[UUID],
    after: Places | None,
    *,
    beat_seconds: float = BEAT_SECONDS,
) -> AsyncGenerator[tuple[Places, StockNews | Beat], None]:
    """What happens to these stocks, each with the place behind it, without end; close it to stop.

    variant_ids: sorted, each once. `after` resumes behind that place. Raises NotFound when one is not the caller's.
    """
    reader = _StockReader(caller, variant_ids)
    return watch(tx, feed, variant_ids, reader.read, after=after, beat_seconds=beat_seconds)


class _StockReader:
    """Reads the news of some stocks for one caller."""

    def __init__(self, caller: Caller, variant_ids: Sequence[UUID]) -> None:
        self._caller = caller
        self._ids = tuple(variant_ids)
        self._index = {variant_id: index for index, variant_id in enumerate(self._ids)}
        self._stocks: dict[UUID, Stock] = {}
        """As they were shown last."""

    async def read(self, unit: ReadUnit, after: Places | None) -> Batch[StockNews, Places]:
        """The changes after the place; a snapshot without one, and where they are not kept."""
        # The numbers first: the stocks are then at least as new, and what comes twice is told by its version.
        last = tuple(await outbox.last_seqs(unit.connection, self._ids))
        begins = not self._stocks
        if begins:
            self._stocks = await self._look(unit)
        events = None if after is None else await self._missed(unit, after, last)
        if events is None or after is None:
            if not begins:
                self._stocks = await self._look(unit)
            return self._snapshot(last, after)
        if begins:
            # Behind the place nothing was shown yet: what is known is as new as the newest event, or newer.
            self._stocks = {variant_id: replace(stock, version=0) for variant_id, stock in self._stocks.items()}
        return self._changes(after, events)

    async def _look(self, unit: ReadUnit) -> dict[UUID, Stock]:
        found = await owned(unit, self._caller, await repository.read_stocks(unit.connection, self._ids))
        for variant_id in self._ids:
            if variant_id not in found:
                raise NotFound("stock", variant_id)
        return found

    async def _missed(self, unit: ReadUnit, after: Places, last: Places) -> list[StoredEvent] | None:
        """The events after the place; None when some of them are not kept, or the place is none of ours."""
        if after == last:
            return []
        places = list(zip(self._ids, after, strict=True))
        behind = [place for place, newest in zip(places, last, strict=True) if place[1] < newest]
        if any(seen < 0 or seen > newest for seen, newest in zip(after, last, strict=True)):
            return None
        events = await outbox.read_aggregates(unit.connection, behind, BATCH)
        first: dict[UUID, int] = {}
        for event in events:
            first.setdefault(event.aggregate_id, event.seq)
        return events if all(first.get(variant_id) == seen + 1 for variant_id, seen in behind) else None

    def _snapshot(self, place: Places, after: Places | None) -> Batch[StockNews, Places]:
        """Behind a reset where the watch should have gone on after a place."""
        # Whoever comes back after the reset alone has not seen the snapshot: it is told again.
        nowhere: Places = (OF_NO_USE,) * len(self._ids)
        reset = [] if after is None else [(nowhere, StockReset(ResetReason.of(after[0])))]
        snapshot = StockSnapshot(tuple(self._stocks[variant_id] for variant_id in self._ids))
        return Batch(place, [*reset, (place, snapshot)])

    def _changes(self, after: Places, events: Sequence[StoredEvent]) -> Batch[StockNews, Places]:
        place = list(after)
        news: list[tuple[Places, StockNews]] = []
        for event in _as_they_came(events):
            place[self._index[event.aggregate_id]] = event.seq
            if event.event_type != StockChanged.event_type:
                continue
            stock = _after(self._stocks[event.aggregate_id], read_event(StockChanged, event))
            if stock.version > self._stocks[event.aggregate_id].version:
                self._stocks[event.aggregate_id] = stock
                news.append((tuple(place), StockUpdate(stock)))
        full = Counter(event.aggregate_id for event in events).values()
        return Batch(tuple(place), news, more=BATCH in full)


def _as_they_came(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Events of several stocks by their times. Those of one stock keep their order: a transaction that began earlier
    may have changed it later.
    """
    latest: dict[UUID, datetime] = {}
    keyed: list[tuple[datetime, StoredEvent]] = []
    for event in events:
        before = latest.get(event.aggregate_id, event.occurred_time)
        latest[event.aggregate_id] = max(before, event.occurred_time)
        keyed.append((latest[event.aggregate_id], event))
    return [event for _, event in sorted(keyed, key=itemgetter(0))]


def _after(stock: Stock, event: StockChanged) -> Stock:
    return replace(
        stock,
        policy=StockPolicy(event.policy),
        on_hand=event.on_hand,
        reserved=event.reserved,
        source_version=event.source_version,
        version=event.stock_version,
        update_time=event.update_time,
    )
