"""The relay: hands committed events to their handlers, in order for each aggregate, each effect once.

One leader at a time. Each handler runs in a transaction of its own that also records that it ran, so a second delivery
(a crash between effect and mark, two leaders for a moment) changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import structlog

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import DATABASE_ERRORS, in_short
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events import outbox
from marketd.kernel.events.events import StoredEvent, to_json
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.leases import Leadership

_log = structlog.get_logger(__name__)

EventHandler: TypeAlias = Callable[[UnitOfWork, StoredEvent], Awaitable[None]]
LEASE_NAME = "relay"
# While events keep coming, what comes in this moment is handed on together: under load each look at the outbox is
# shared by several. The first event after a rest does not wait.
_GATHER_SECONDS = 0.02


class Relay:
    """Hands events on. Handlers are registered before `run`, under stable names (they are keys in the database)."""

    def __init__(
        self,
        tx: Transactor,
        *,
        lease: timedelta = timedelta(seconds=10),
        poll_seconds: float = 0.5,
        batch: int = 200,
        concurrency: int = 4,
        max_attempts: int = 12,
    ) -> None:
        self._tx = tx
        self._poll_seconds = poll_seconds
        self._batch = batch
        self._concurrency = concurrency
        self._max_attempts = max_attempts
        self._handlers: dict[str, list[tuple[str, EventHandler]]] = defaultdict(list)
        self._handed_on: list[UUID] = []
        self._is_behind = False
        self._wake = asyncio.Event()
        self._leadership = Leadership(tx, LEASE_NAME, lease)

    def register(self, event_type: str, name: str, handler: EventHandler) -> None:
        """Hand every event of the type to `handler`."""
        self._handlers[event_type].append((name, handler))

    def wake(self) -> None:
        """Look for unpublished events now."""
        self._wake.set()

    async def run(self) -> None:
        """Lead whenever the lease is free, until cancelled."""
        try:
            while True:
                self._wake.clear()
                busy = False
                try:
                    if await self._leadership.is_ours():
                        busy = await self.run_once()
                except Refusal as refusal:
                    self._leadership.doubt()
                    _log.warning("relay_waiting", reason=refusal.reason.value)
                if busy:
                    await asyncio.sleep(0 if self._is_behind else _GATHER_SECONDS)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await self._wake.wait()
        finally:
            await self._mark_the_last()
            await self._leadership.give_back()

    async def run_once(self) -> bool:
        """Mark what was handed on the last time and hand on the next batch; whether to come again at once.

        The mark goes with the next look at the outbox, in one transaction. Until then a leader that dies leaves events
        that are delivered again, to handlers that have a record of them.
        """
        handed_on = self._handed_on

        async def take(uow: UnitOfWork) -> list[StoredEvent]:
            if handed_on:
                await outbox.mark_published(uow.connection, handed_on, uow.now)
            return await outbox.read_unpublished(uow.connection, uow.now, self._batch)

        events = await self._tx.run("relay.take", take)
        self._handed_on = []  # filled as they are through, so that one who is stopped amid them knows which
        await self._hand_on_all(events)
        self._is_behind = len(events) == self._batch
        return self._is_behind or bool(self._handed_on)

    async def _mark_the_last(self) -> None:
        """At the end: whoever leads next need not hand them on again. Without a database it does."""
        if self._handed_on:
            mark = self._tx.run(
                "relay.mark", lambda uow: outbox.mark_published(uow.connection, self._handed_on, uow.now)
            )
            with contextlib.suppress(Refusal, *DATABASE_ERRORS):
                await asyncio.shield(mark)

    async def _hand_on_all(self, events: Sequence[StoredEvent]) -> None:
        """Hand the events on, those of one aggregate in order, and note which of them are through."""
        by_aggregate: dict[UUID, list[StoredEvent]] = defaultdict(list)
        for event in events:
            by_aggregate[event.aggregate_id].append(event)
        gate = asyncio.Semaphore(self._concurrency)

        async def one_aggregate(queue: Sequence[StoredEvent]) -> None:
            async with gate:
                for event in queue:
                    if not await self._hand_on(event):
                        return  # what follows in this aggregate waits for the retry
                    self._handed_on.append(event.event_id)

        async with asyncio.TaskGroup() as group:
            for queue in by_aggregate.values():
                group.create_task(one_aggregate(queue))

    async def _hand_on(self, event: StoredEvent) -> bool:
        for name, handler in self._handlers.get(event.event_type, ()):
            try:
                await self._tx.run(f"event.{name}", _once(name, handler, event))
            except Exception as error:  # noqa: BLE001 - whatever the bug, the event is retried and then set aside
                return await self._failed(name, event, error)
        return True

    async def _failed(self, handler: str, event: StoredEvent, error: Exception) -> bool:
        """Plan the retry; True when the event was given up, so its aggregate may go on."""

        async def work(uow: UnitOfWork) -> bool:
            attempts = await uow.connection.fetchval(
                "UPDATE outbox_events SET attempts = attempts + 1,"
                " next_attempt_time = $2::timestamptz + least(power(2, attempts), 300) * interval '0.25 s'"
                " WHERE event_id = $1 RETURNING attempts",
                event.event_id,
                uow.now,
            )
            if attempts < self._max_attempts:
                return False
            await uow.connection.execute(
                "INSERT INTO dead_letters (dead_letter_id, kind, source_id, payload, error, create_time)"
                " VALUES ($1, $2, $3, $4::text::jsonb, $5, $6)",
                new_id(),
                f"{handler}:{event.event_type}",
                event.event_id,
                to_json(event.payload),
                in_short(error),
                uow.now,
            )
            return True

        try:
            given_up = await self._tx.run("relay.failed", work)
        except Refusal as refusal:
            # The database is away, which may be why the handler failed. The event stays unpublished and comes again.
            _log.warning("event_failure_not_recorded", handler=handler, reason=refusal.reason.value)
            return False
        _log.warning("event_failed", handler=handler, event_type=event.event_type, given_up=given_up, exc_info=error)
        return given_up


def _once(name: str, handler: EventHandler, event: StoredEvent) -> Callable[[UnitOfWork], Awaitable[None]]:
    async def work(uow: UnitOfWork) -> None:
        tag = await uow.connection.execute(
            "INSERT INTO handled_events (handler, event_id, handle_time) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            name,
            event.event_id,
            uow.now,
        )
        if tag == "INSERT 0 1":
            await handler(uow, event)

    return work
