"""What a courier's device follows: the deliveries that are assigned, changed and taken away, in order, none left out.

The courier's own event sequence in the outbox is the stream; a resume token stands for a number of it. Reads are short,
and nothing is held while the stream waits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias
from uuid import UUID

from marketd.delivery.events import CourierDeliveryAssigned, CourierDeliveryChanged, CourierDeliveryRemoved
from marketd.delivery.model import DeliveryState, RemovalReason
from marketd.delivery.repository import deliveries
from marketd.delivery.values import Delivery
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events.events import StoredEvent, read_event
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import (
    BEAT_SECONDS,
    OF_NO_USE,
    POLL_SECONDS,
    Batch,
    Beat,
    ResetReason,
    missed_events,
    watch,
)

BATCH = 100


@dataclass(frozen=True, slots=True)
class CourierSnapshot:
    """All that the courier has now."""

    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Assigned:
    """A delivery was given to the courier."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Changed:
    """A delivery of the courier has changed."""

    delivery: Delivery
    previous_state: DeliveryState


@dataclass(frozen=True, slots=True)
class Removed:
    """A delivery is the courier's no more."""

    delivery_id: UUID
    removal_reason: RemovalReason


@dataclass(frozen=True, slots=True)
class Reset:
    """What was missed cannot be told any more; a snapshot follows."""

    reason: ResetReason


CourierNews: TypeAlias = CourierSnapshot | Assigned | Changed | Removed | Reset


async def watch_deliveries(
    tx: Transactor,
    feed: Feed,
    courier_id: UUID,
    after: int | None,
    *,
    beat_seconds: float = BEAT_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> AsyncGenerator[tuple[int, CourierNews | Beat], None]:
    """What happens to the courier's deliveries, each with its number, without end; close it to stop.

    `after` resumes behind that number.
    """
    read = partial(_read, courier_id)
    news = watch(tx, feed, (courier_id,), read, after=after, beat_seconds=beat_seconds, poll_seconds=poll_seconds)
    async with aclosing(news) as each:
        async for item in each:
            yield item


async def _read(courier_id: UUID, unit: ReadUnit, after: int | None) -> Batch[CourierNews, int]:
    """What comes after a number; a snapshot when there is none, and behind a reset when what follows is not kept."""
    missed = None if after is None else await missed_events(unit, courier_id, after, limit=BATCH)
    if missed is None or after is None:
        seq, found = await deliveries.snapshot(unit.connection, courier_id)
        # Whoever comes back after the reset alone has not seen the snapshot: it is told again.
        first: list[tuple[int, CourierNews]] = [] if after is None else [(OF_NO_USE, Reset(ResetReason.of(after)))]
        return Batch(seq, [*first, (seq, CourierSnapshot(tuple(found)))])
    events, more = missed
    ids = {UUID(str(event.payload["delivery_id"])) for event in events if "delivery_id" in event.payload}
    now = await deliveries.read_many(unit.connection, list(ids)) if ids else {}
    news = [(event.seq, item) for event in events if (item := _news(event, courier_id, now)) is not None]
    return Batch(events[-1].seq if events else after, news, more)


def _news(event: StoredEvent, courier_id: UUID, now: Mapping[UUID, Delivery]) -> CourierNews | None:
    """The message of one event, None for one that is about something else.

    A delivery is shown as it is now but for state and version, which are the event's; one that has gone to another
    courier since is not shown any more, and its removal follows.
    """
    if event.event_type == CourierDeliveryRemoved.event_type:
        removed = read_event(CourierDeliveryRemoved, event)
        return Removed(removed.delivery_id, RemovalReason(removed.removal_reason))
    if event.event_type == CourierDeliveryAssigned.event_type:
        assigned = read_event(CourierDeliveryAssigned, event)
        delivery = _as_of(now.get(assigned.delivery_id), courier_id, assigned.state, assigned.delivery_version)
        return Assigned(delivery) if delivery is not None else None
    if event.event_type == CourierDeliveryChanged.event_type:
        changed = read_event(CourierDeliveryChanged, event)
        delivery = _as_of(now.get(changed.delivery_id), courier_id, changed.state, changed.delivery_version)
        return Changed(delivery, DeliveryState(changed.previous_state)) if delivery is not None else None
    return None


def _as_of(now: Delivery | None, courier_id: UUID, state: str, version: int) -> Delivery | None:
    if now is None or now.courier_id != courier_id:
        return None
    if now.version == version:
        return now
    then = replace(now, state=DeliveryState(state), version=version, outcome=None, failure=None, close_time=None)
    if now.state is not DeliveryState.CLOSED:
        return then
    # Who comes back with an old token must not find the doors of what is over by now.
    return replace(then, pickup=replace(now.pickup, address=None), dropoff=replace(now.dropoff, address=None))
