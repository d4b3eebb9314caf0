"""What a courier's device follows: the deliveries that are assigned, changed and taken away, in order, none left out.

The courier's own event sequence in the outbox is the stream; a cursor is a number of it. Reads are short, and nothing
is held while the stream waits.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeAlias
from uuid import UUID

from marketd.delivery import courier_repository as couriers
from marketd.delivery import repository
from marketd.delivery.events import CourierDeliveryAssigned, CourierDeliveryChanged, CourierDeliveryRemoved
from marketd.delivery.states import DeliveryState, RemovalReason
from marketd.delivery.values import DeliveryView
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import PageTokens
from marketd.kernel.call.refusals import NotFound, PageTokenInvalid
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.events import StoredEvent, read_event
from marketd.kernel.events.feed import Feed

HEARTBEAT_SECONDS = 10.0
POLL_SECONDS = 2.0
BATCH = 100
_QUERY = "delivery.watch"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the courier has now."""

    deliveries: tuple[DeliveryView, ...]


@dataclass(frozen=True, slots=True)
class Assigned:
    """A delivery was given to the courier."""

    delivery: DeliveryView


@dataclass(frozen=True, slots=True)
class Changed:
    """A delivery of the courier has changed."""

    delivery: DeliveryView
    previous_state: DeliveryState


@dataclass(frozen=True, slots=True)
class Removed:
    """A delivery is the courier's no more."""

    delivery_id: UUID
    removal_reason: RemovalReason


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened; `server_time` is the server's clock."""

    server_time: datetime


News: TypeAlias = Snapshot | Assigned | Changed | Removed | Heartbeat


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the stream, and where the stream stands after it."""

    cursor: str
    news: News


class DeliveryWatcher:
    """Makes the streams of one process."""

    def __init__(
        self,
        *,
        tx: Transactor,
        feed: Feed,
        tokens: PageTokens,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._tx = tx
        self._feed = feed
        self._tokens = tokens
        self._heartbeat_seconds = heartbeat_seconds
        self._poll_seconds = poll_seconds

    async def watch(self, caller: Caller, resume_token: str) -> AsyncGenerator[Message, None]:
        """The stream of the caller's courier, without end; close it to stop. Raises NotFound without a courier."""
        courier = await self._tx.read(lambda unit: couriers.of_account(unit.connection, caller.account))
        if courier is None:
            raise NotFound("courier", "me")
        courier_id = courier.courier_id
        # Watched before the first read, so nothing that is committed in between is slept over.
        watch = self._feed.watch(courier_id)
        try:
            seq = self._resumed(caller, resume_token)
            told = time.monotonic()
            while True:
                found = await self._tx.read_patiently(partial(_read, courier_id=courier_id, after=seq))
                seq = found.seq
                for number, news in found.news:
                    told = time.monotonic()
                    yield Message(self._cursor(caller, number), news)
                if found.more:
                    continue
                silence = time.monotonic() - told
                if silence >= self._heartbeat_seconds:
                    told = time.monotonic()
                    silence = 0.0
                    yield Message(self._cursor(caller, seq), Heartbeat(found.now))
                await watch.wait(min(self._poll_seconds, self._heartbeat_seconds - silence))
        finally:
            watch.close()

    def _cursor(self, caller: Caller, seq: int) -> str:
        return self._tokens.issue(_QUERY, caller.key, (seq,))

    def _resumed(self, caller: Caller, token: str) -> int | None:
        """The number to go on after; None for a token that is empty or not ours, which starts over."""
        try:
            cursor = self._tokens.read(token, _QUERY, caller.key)
        except PageTokenInvalid:
            return None
        return int(cursor[0]) if cursor and isinstance(cursor[0], int) else None


@dataclass(frozen=True, slots=True)
class _Found:
    seq: int
    news: Sequence[tuple[int, News]]
    more: bool
    now: datetime


async def _read(unit: ReadUnit, courier_id: UUID, after: int | None) -> _Found:
    """What comes after a number; a snapshot when there is none, or when the events that follow it are not kept."""
    if after is not None:
        events = await outbox.read_aggregate(unit.connection, courier_id, after, BATCH)
        last = events[-1].seq if events else await outbox.last_seq(unit.connection, courier_id)
        if last == after + len(events):
            ids = {UUID(str(event.payload["delivery_id"])) for event in events if "delivery_id" in event.payload}
            now = await repository.read_many(unit.connection, list(ids)) if ids else {}
            news = [(event.seq, item) for event in events if (item := _news(event, courier_id, now)) is not None]
            return _Found(last, news, len(events) == BATCH, unit.now)
        if not events and last > after:
            # An event was committed between the two reads; it is there on the next one, unless it was swept away.
            events = await outbox.read_aggregate(unit.connection, courier_id, after, BATCH)
            if events and events[0].seq == after + 1:
                return _Found(after, (), True, unit.now)
    seq, deliveries = await repository.snapshot(unit.connection, courier_id)
    return _Found(seq, [(seq, Snapshot(tuple(deliveries)))], False, unit.now)


def _news(event: StoredEvent, courier_id: UUID, now: Mapping[UUID, DeliveryView]) -> News | None:
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


def _as_of(now: DeliveryView | None, courier_id: UUID, state: str, version: int) -> DeliveryView | None:
    if now is None or now.courier_id != courier_id:
        return None
    if now.version == version:
        return now
    return replace(now, state=DeliveryState(state), version=version, outcome=None, closed_time=None)
