"""The hub of one worker: the newest position of every courier it hears of, and the channels of watched deliveries.

Positions come from this worker's couriers at once and from the other workers by broadcast; events come from the outbox
when the feed says so, and every other second in any case. Nothing here waits for a watcher.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final
from uuid import UUID

import structlog

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.broadcast import Broadcast
from marketd.kernel.events.events import StoredEvent
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import BEAT_SECONDS, ResumeTokens
from marketd.kernel.values.clock import Clock
from marketd.kernel.values.ids import new_id
from marketd.tracking import deliveries, repository
from marketd.tracking.values import MICROS, Fix, micros
from marketd.tracking.watch import convert
from marketd.tracking.watch.channel import DeliveryChannel
from marketd.tracking.watch.fix_messages import SENDER_BYTES, pack_fixes, unpack_fixes
from marketd.tracking.watch.messages import ETA_CHANGED, LATE
from marketd.tracking.watch.values import WatchedDelivery
from marketd.tracking.watch.wakes import Wakes
from marketd.tracking.watch.watcher import Watcher

_log = structlog.get_logger(__name__)

TOPIC: Final = "positions"
_KEEP_MICROS: Final = 3600 * MICROS


class Hub:
    """One for each process; `run` it beside the server."""

    def __init__(
        self,
        tx: Transactor,
        feed: Feed,
        broadcast: Broadcast,
        resume: ResumeTokens,
        clock: Clock,
        *,
        flush_seconds: float = 0.05,
        poll_seconds: float = 2.0,
        heartbeat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._tx = tx
        self._clock = clock
        self._broadcast = broadcast
        self._resume = resume
        self._flush_seconds = flush_seconds
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._sender = new_id().bytes[-SENDER_BYTES:]
        self._fixes: dict[UUID, Fix] = {}
        # Newest wins here too: a courier who sends faster than this is flushed costs the other workers no more.
        self._outgoing: dict[UUID, Fix] = {}
        self._outgoing_event = asyncio.Event()
        self._channels: dict[UUID, DeliveryChannel] = {}
        self._by_courier: dict[UUID, set[DeliveryChannel]] = defaultdict(set)
        self._wakes = Wakes(feed)
        self._subscription = broadcast.subscribe(TOPIC, self._receive)

    @property
    def now_micros(self) -> int:
        """The clock's instant."""
        return micros(self._clock.now())

    # -- up

    def moved(self, courier_id: UUID, fix: Fix) -> None:
        """The live marker of a courier whom this worker hears has moved."""
        self._show(courier_id, fix)
        self._outgoing[courier_id] = fix
        self._outgoing_event.set()

    def newest(self, courier_id: UUID) -> Fix | None:
        """Where the courier is, as far as this worker has heard."""
        return self._fixes.get(courier_id)

    # -- down

    async def follow(self, delivery_id: UUID, watched: WatchedDelivery, seq: int) -> DeliveryChannel:
        """The delivery's channel, told at least up to `seq`, the delivery's last event before `watched` was read."""
        channel = self._channels.get(delivery_id)
        if channel is not None and channel.seq < seq:
            await self._catch_up({delivery_id})  # the wake-up is still on its way from another worker
            # Its last watcher may have left meanwhile and taken it along; nobody would tell it anything any more.
            channel = self._channels.get(delivery_id)
        if channel is not None:
            return channel
        courier = watched.courier

        async def read(unit: ReadUnit) -> tuple[bool, Fix | None]:
            latest = await deliveries.read_latest_fix(unit, courier.courier_id) if courier is not None else None
            return await repository.is_late(unit.connection, delivery_id), latest

        late, latest = await self._tx.read(read)
        channel = self._channels.get(delivery_id)  # another watcher may have been faster while we read
        if channel is not None:
            return channel
        channel = self._channels[delivery_id] = DeliveryChannel(self._resume, watched, seq, late=late)
        self._wakes.add(delivery_id)
        if courier is not None:
            self._by_courier[courier.courier_id].add(channel)
            self._show_again(channel, latest)
        return channel

    def join(self, channel: DeliveryChannel, watcher: Watcher) -> None:
        """The watcher gets everything of the channel from now on, and heartbeats."""
        channel.join(watcher, asyncio.get_running_loop().time() + self._heartbeat_seconds)

    def leave(self, channel: DeliveryChannel, watcher: Watcher) -> None:
        """The watcher goes; the last one takes the channel with it."""
        watcher.close()
        channel.leave(watcher)
        if channel.is_empty and self._channels.get(channel.delivery_id) is channel:
            del self._channels[channel.delivery_id]
            self._wakes.remove(channel.delivery_id)
            self._unfile(channel, channel.courier_id)

    async def run(self) -> None:
        """Work until cancelled."""
        # Anew, because a run that failed has given its subscription up; giving one up twice does nothing.
        self._broadcast.unsubscribe(self._subscription)
        self._subscription = self._broadcast.subscribe(TOPIC, self._receive)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_positions())
                group.create_task(self._read_events())
                group.create_task(self._sweep())
        finally:
            self._broadcast.unsubscribe(self._subscription)

    # -- positions

    def _show(self, courier_id: UUID, fix: Fix) -> None:
        known = self._fixes.get(courier_id)
        if known is not None and fix.sample_micros <= known.sample_micros:
            return
        self._fixes[courier_id] = fix
        channels = self._by_courier.get(courier_id)
        if channels:
            body, now = convert.position_body(fix), self.now_micros
            for channel in channels:
                channel.show(fix, body, now)

    def _show_again(self, channel: DeliveryChannel, stored: Fix | None = None) -> None:
        """Show the courier's newest position to a channel that could not show it before."""
        courier_id = channel.courier_id
        fix = self._fixes.get(courier_id) if courier_id is not None else None
        if stored is not None and (fix is None or stored.sample_micros > fix.sample_micros):
            fix = stored
        if fix is not None:
            channel.show(fix, convert.position_body(fix), self.now_micros)

    async def _send_positions(self) -> None:
        while True:
            await self._outgoing_event.wait()
            await asyncio.sleep(self._flush_seconds)
            self._outgoing_event.clear()
            outgoing, self._outgoing = list(self._outgoing.items()), {}
            for message in pack_fixes(self._sender, outgoing):
                self._broadcast.publish(TOPIC, message)

    def _receive(self, payload: bytes) -> None:
        if payload.startswith(self._sender):
            return  # our own, shown already
        for courier_id, fix in unpack_fixes(payload):
            self._show(courier_id, fix)

    # -- events

    async def _read_events(self) -> None:
        polled = 0.0
        loop = asyncio.get_running_loop()
        while True:
            dirty = await self._wakes.take(self._poll_seconds)
            try:
                if loop.time() - polled >= self._poll_seconds:
                    polled = loop.time()
                    dirty |= await self._find_behind()
                await self._catch_up(dirty)
            except Refusal as refusal:
                _log.warning("watchers_waiting", reason=refusal.reason.value)
                polled = 0.0
                await asyncio.sleep(0.2)

    async def _find_behind(self) -> set[UUID]:
        places = self._places(self._channels)
        if not places:
            return set()
        return set(await self._tx.read(lambda unit: outbox.find_behind(unit.connection, places)))

    async def _catch_up(self, delivery_ids: set[UUID]) -> None:
        places = self._places(delivery_ids)
        if not places:
            return

        async def read(unit: ReadUnit) -> tuple[dict[UUID, list[StoredEvent]], dict[UUID, WatchedDelivery]]:
            events: dict[UUID, list[StoredEvent]] = defaultdict(list)
            for event in await outbox.read_aggregates(unit.connection, places):
                events[event.aggregate_id].append(event)
            rows: dict[UUID, WatchedDelivery] = {}
            for delivery_id, own in events.items():
                if any(event.event_type not in (ETA_CHANGED, LATE) for event in own):
                    watched = await deliveries.read_watched_delivery(unit, delivery_id)
                    if watched is not None:
                        rows[delivery_id] = watched
            return events, rows

        events, rows = await self._tx.read(read)
        for delivery_id, own in events.items():
            channel = self._channels.get(delivery_id)
            if channel is not None:
                self._tell(channel, own, rows.get(delivery_id))

    def _tell(self, channel: DeliveryChannel, events: list[StoredEvent], watched: WatchedDelivery | None) -> None:
        before, now = channel.courier_id, self.now_micros
        for event in events:
            channel.tell(event, watched, now)
        if channel.courier_id != before:
            self._unfile(channel, before)
            if channel.courier_id is not None:
                self._by_courier[channel.courier_id].add(channel)
        if watched is not None:
            self._show_again(channel)  # after the pickup the buyer may see what came since

    def _places(self, delivery_ids: dict[UUID, DeliveryChannel] | set[UUID]) -> list[tuple[UUID, int]]:
        return [(key, self._channels[key].seq) for key in delivery_ids if key in self._channels]

    def _unfile(self, channel: DeliveryChannel, courier_id: UUID | None) -> None:
        if courier_id is None:
            return
        channels = self._by_courier.get(courier_id)
        if channels is not None:
            channels.discard(channel)
            if not channels:
                del self._by_courier[courier_id]

    # -- heartbeats and forgetting

    async def _sweep(self) -> None:
        """One task looks after all heartbeats: a timer for each wait of each watcher would cost half a write."""
        loop = asyncio.get_running_loop()
        forgotten = loop.time()
        while True:
            await asyncio.sleep(min(1.0, self._heartbeat_seconds / 4))
            now, loop_time = self.now_micros, loop.time()
            body = convert.heartbeat_body(now)
            for channel in self._channels.values():
                channel.beat(body, loop_time, loop_time + self._heartbeat_seconds, now)
            if loop_time - forgotten > 60:
                forgotten = loop_time
                for courier_id in [key for key, fix in self._fixes.items() if now - fix.receive_micros > _KEEP_MICROS]:
                    del self._fixes[courier_id]
