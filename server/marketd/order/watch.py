"""Watching an order: how it is, then every change in order, out of the outbox.

Each event carries the order's changeable part after it, so a change is shown as it was and not as it is by now.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.events import Json, StoredEvent
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import BEAT_SECONDS, OF_NO_USE, Batch, Beat, ResetReason, missed_events, watch
from marketd.order import repository
from marketd.order.access import viewer_of
from marketd.order.model import OrderState
from marketd.order.values import Order


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """How the order is; everything after the message's number follows."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderChange:
    """How the order was after an event."""

    order: Order
    previous_state: OrderState
    change_time: datetime


@dataclass(frozen=True, slots=True)
class OrderReset:
    """What was missed cannot be told any more; a snapshot follows."""

    reason: ResetReason


OrderNews: TypeAlias = OrderSnapshot | OrderChange | OrderReset


def watch_order(
    tx: Transactor,
    feed: Feed,
    caller: Caller,
    order_id: UUID,
    after: int | None,
    *,
    beat_seconds: float = BEAT_SECONDS,
) -> AsyncGenerator[tuple[int, OrderNews | Beat], None]:
    """What happens to the order, each with its number, until it is over; `after` resumes behind that number.

    Raises NotFound for somebody else's order.
    """
    return watch(tx, feed, (order_id,), _OrderReader(caller, order_id).read, after=after, beat_seconds=beat_seconds)


class _OrderReader:
    """Reads one order's news for one caller."""

    def __init__(self, caller: Caller, order_id: UUID) -> None:
        self._caller = caller
        self._order_id = order_id
        self._order: Order | None = None
        self._shown_version = 0
        self._is_over = False

    async def read(self, unit: ReadUnit, after: int | None) -> Batch[OrderNews, int]:
        """The changes after the number; a snapshot without one, and where they are not kept."""
        if self._order is None:
            # The number first: the order is then at least as new, and what comes twice is told by its version.
            last = await outbox.last_seq(unit.connection, self._order_id)
            self._order = await self._look(unit)
            missed = None if after is None else await missed_events(unit, self._order_id, after)
            if missed is None or after is None:
                return self._snapshot(last, self._order, after)
            events, more = missed
            return self._changes(self._order, after, events, more=more)
        if after is None or (missed := await missed_events(unit, self._order_id, after)) is None:
            last = await outbox.last_seq(unit.connection, self._order_id)
            return self._snapshot(last, await self._look(unit), after)
        events, more = missed
        if any(_cancellations(event) > len(self._order.cancellations) for event in events):
            # Events carry no words of people, so what a cancellation says is read where it stands.
            self._order = await self._look(unit)
        return self._changes(self._order, after, events, more=more)

    async def _look(self, unit: ReadUnit) -> Order:
        order = await repository.read(unit.connection, self._order_id)
        if order is None:
            raise NotFound("order", self._order_id)
        viewer = viewer_of(self._caller, order)
        if not (viewer.is_buyer or viewer.is_seller or viewer.is_admin):
            raise NotFound("order", self._order_id)
        self._is_over = order.state.is_over
        return order

    def _snapshot(self, seq: int, order: Order, after: int | None) -> Batch[OrderNews, int]:
        """Behind a reset where the watch should have gone on after a number."""
        self._shown_version = order.version
        # Whoever comes back after the reset alone has not seen the snapshot: it is told again.
        reset = [] if after is None else [OrderReset(ResetReason.of(after))]
        shown: list[tuple[int, OrderNews]] = [(OF_NO_USE, each) for each in reset]
        return Batch(seq, [*shown, (seq, OrderSnapshot(order))], is_over=order.state.is_over)

    def _changes(self, order: Order, after: int, events: Sequence[StoredEvent], *, more: bool) -> Batch[OrderNews, int]:
        """Where there is no event, what was read before says whether it is over: nothing may follow the last page."""
        news: list[tuple[int, OrderNews]] = []
        seq = after
        for event in events:
            seq = event.seq
            change = _change(order, event)
            self._is_over = change.order.state.is_over
            if change.order.version > self._shown_version:
                self._shown_version = change.order.version
                news.append((seq, change))
        return Batch(seq, news, more, self._is_over and not more)


def _change(order: Order, event: StoredEvent) -> OrderChange:
    order = order.with_progress(_told(event))
    return OrderChange(order, OrderState(str(event.payload["previous_state"])), event.occurred_time)


def _cancellations(event: StoredEvent) -> int:
    count = _told(event).get("cancellations", 0)
    return count if isinstance(count, int) else 0


def _told(event: StoredEvent) -> Mapping[str, Json]:
    progress = event.payload["after"]
    if not isinstance(progress, Mapping):
        raise TypeError(f"event {event.event_id} has no order in it")
    return progress
