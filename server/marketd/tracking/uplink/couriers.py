"""The couriers whom this worker hears: their track, their uplinks, their open deliveries, and the stream of each.

One object a courier, shared by all its streams and reports here; it is made with the first and goes with the last.
A newer stream ends an older one at once on this worker, and by broadcast on the others; whoever missed the broadcast
finds out by a look at the database every few seconds.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import structlog

from marketd.delivery.estimate import Pace
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.broadcast import Broadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.work.repeat import repeat
from marketd.tracking import deliveries, repository
from marketd.tracking.errors import OffShift, StreamSuperseded
from marketd.tracking.trip.trip import Leg, Promise, Trip, TripFinding
from marketd.tracking.uplink.acks import Uplink
from marketd.tracking.uplink.density import Densities, Density
from marketd.tracking.uplink.track import Track
from marketd.tracking.values import Fix, instant
from marketd.tracking.watch.wakes import Wakes

_log = structlog.get_logger(__name__)

TOPIC: Final = "courier-streams"
_EPOCH: Final = struct.Struct(">16sq")
CHECK_SECONDS: Final = 5.0
REFRESH_SECONDS: Final = 30.0
# How far before the marker stored positions are read again when a courier comes back, and how many of them: enough for
# track.MANY, and on a ride for what a stop needs (gate.PERSISTENCE_MICROS) at five positions a second.
RECALLED: Final = timedelta(minutes=1)
RECALLED_ALWAYS: Final = 16
RECALLED_RIDING: Final = 64


class Stream(Protocol):
    """An open StreamLocations, as those see it who end it or tell it of changes."""

    epoch: int

    def end(self, refusal: Refusal) -> None:
        """End the stream with this refusal."""

    def deliveries_changed(self, *, is_live: bool) -> None:
        """Whether somebody waits for a delivery of this courier now."""


class HeardCourier:
    """One courier as this worker knows them."""

    __slots__ = ("courier_id", "density", "is_restored", "stream", "track", "trips", "uplinks", "user_id", "users")

    def __init__(self, courier_id: UUID, user_id: UUID, density: Density) -> None:
        self.courier_id = courier_id
        self.user_id = user_id
        self.density = density
        self.track = Track()
        self.uplinks: dict[UUID, Uplink] = {}
        self.trips: dict[UUID, Trip] = {}
        self.stream: Stream | None = None
        self.is_restored = False
        self.users = 0

    def take_up(self, marker: Fix | None, recent: Sequence[tuple[Fix, int]]) -> list[Fix]:
        """Go on from what is stored; those of `recent` that the marker followed. While positions of the courier wait
        here for their commit, this worker knows more than the database does, so only a newer marker is taken.
        """
        if any(uplink.pending for uplink in self.uplinks.values()):
            if marker is not None:
                self.track.adopt(marker)
            return []
        self.track = Track(marker)
        self.track.restore(recent)
        return [fix for fix, flags in recent if not flags]

    def follow(self, fix: Fix, now_micros: int, pace: Pace) -> list[TripFinding]:
        """What a fix that moved the live marker means for the open deliveries."""
        return [finding for trip in self.trips.values() for finding in trip.follow(fix, now_micros, pace)]


class _Before(NamedTuple):
    """What the database knows of a courier's way: the marker, and the newest positions (repository.read_recent)."""

    marker: Fix | None
    recent: list[tuple[Fix, int]]


async def _read_before(uow: UnitOfWork, courier_id: UUID, *, is_riding: bool) -> _Before:
    marker = await deliveries.read_latest_fix(uow, courier_id)
    after = uow.now - timedelta(days=1) if marker is None else instant(marker.sample_micros) - RECALLED
    limit = RECALLED_RIDING if is_riding else RECALLED_ALWAYS
    return _Before(marker, await repository.read_recent(uow.connection, courier_id, after, limit))


class HeardCouriers:
    """One for each process; `run` it beside the server."""

    def __init__(self, tx: Transactor, feed: Feed, broadcast: Broadcast, *, rate_hz: float) -> None:
        """rate_hz: see density.Density."""
        self._tx = tx
        self._densities = Densities(rate_hz)
        self._broadcast = broadcast
        self._couriers: dict[UUID, HeardCourier] = {}
        self._wakes = Wakes(feed)
        self._check = asyncio.Event()
        self._subscription = broadcast.subscribe(TOPIC, self._receive, self._check.set)

    @asynccontextmanager
    async def hear(self, courier_id: UUID, user_id: UUID) -> AsyncIterator[HeardCourier]:
        """The courier for as long as a stream or a report lasts, with what the database knows of them."""
        courier = self._couriers.get(courier_id)
        if courier is None:
            courier = self._couriers[courier_id] = HeardCourier(courier_id, user_id, self._densities.of(courier_id))
        courier.users += 1
        try:
            if not courier.is_restored:
                await self._refresh(courier)
                self._wakes.add(courier_id)
            yield courier
        finally:
            courier.users -= 1
            if not courier.users:
                courier.is_restored = False  # nobody keeps it fresh from here on
            self._forget(courier)

    @asynccontextmanager
    async def hear_uplink(self, courier: HeardCourier, uplink_id: UUID) -> AsyncIterator[Uplink]:
        """The uplink for as long as a stream or a report lasts, or something of it waits for its commit."""
        uplink = courier.uplinks.get(uplink_id)
        if uplink is None:
            uplink = courier.uplinks[uplink_id] = Uplink(courier.courier_id, uplink_id, courier.density)
        uplink.users += 1
        try:
            yield uplink
        finally:
            uplink.users -= 1
            # With numbers that still wait, a new stream must find this very object; the next one to end drops it.
            for known in [known for known in courier.uplinks.values() if not known.users and not known.pending]:
                del courier.uplinks[known.uplink_id]

    def take_over(self, courier: HeardCourier, stream: Stream) -> None:
        """The stream is the courier's newest as far as its epoch says; older ones end, here and elsewhere."""
        current = courier.stream
        if current is not None and current.epoch > stream.epoch:
            raise StreamSuperseded
        courier.stream = stream
        if current is not None:
            current.end(StreamSuperseded())
        self._broadcast.publish(TOPIC, _EPOCH.pack(courier.courier_id.bytes, stream.epoch))
        stream.deliveries_changed(is_live=bool(courier.trips))

    def give_up(self, courier: HeardCourier, stream: Stream) -> None:
        """The stream has ended."""
        if courier.stream is stream:
            courier.stream = None

    async def run(self) -> None:
        """Work until cancelled."""
        # Anew, because a run that failed has given its subscription up; giving one up twice does nothing.
        self._broadcast.unsubscribe(self._subscription)
        self._subscription = self._broadcast.subscribe(TOPIC, self._receive, self._check.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_fresh())
                group.create_task(repeat("tracking.streams", self._check_streams, pause_seconds=0))
        finally:
            self._broadcast.unsubscribe(self._subscription)

    def _forget(self, courier: HeardCourier) -> None:
        waiting = any(uplink.pending for uplink in courier.uplinks.values())
        if not courier.users and not waiting and self._couriers.get(courier.courier_id) is courier:
            del self._couriers[courier.courier_id]
            self._wakes.remove(courier.courier_id)

    # -- open deliveries and shifts

    async def _keep_fresh(self) -> None:
        loop = asyncio.get_running_loop()
        refreshed = loop.time()
        while True:
            dirty = await self._wakes.take(REFRESH_SECONDS / 4)
            if loop.time() - refreshed > REFRESH_SECONDS:
                # Whatever wake-up was lost is made good here, and couriers whose last positions are committed go.
                refreshed = loop.time()
                for courier in list(self._couriers.values()):
                    self._forget(courier)
                dirty |= set(self._couriers)
            for courier_id in dirty:
                known = self._couriers.get(courier_id)
                if known is not None and known.users:
                    try:
                        await self._refresh(known)
                    except Refusal as refusal:
                        _log.warning("courier_not_refreshed", reason=refusal.reason.value)
                        self._wakes.touch(courier_id)
                        await asyncio.sleep(0.2)

    async def _refresh(self, courier: HeardCourier) -> None:
        async def work(uow: UnitOfWork) -> tuple[bool, list[tuple[Leg, Promise]], _Before | None]:
            reporting = await deliveries.read_reporting_courier(uow, courier.user_id)
            legs = []
            for leg in await deliveries.read_legs(uow, courier.courier_id):
                promise = Promise()
                if leg.delivery_id not in courier.trips:
                    promise = await repository.promise(uow.connection, leg.delivery_id, leg.latest_time)
                legs.append((leg, promise))
            before = None if courier.is_restored else await _read_before(uow, courier.courier_id, is_riding=bool(legs))
            return reporting == (courier.courier_id, True), legs, before

        on_shift, legs, before = await self._tx.run("tracking.courier", work)
        recent: list[Fix] = []
        if before is not None and not courier.is_restored:
            recent = courier.take_up(before.marker, before.recent)
        courier.is_restored = True
        trips: dict[UUID, Trip] = {}
        for leg, promise in legs:
            trip = courier.trips.get(leg.delivery_id)
            if trip is None:
                trip = Trip(leg, promise)
                for fix in recent:
                    trip.recall(fix)
            else:
                trip.change(leg)
            trips[leg.delivery_id] = trip
        courier.trips = trips
        if courier.stream is not None:
            if on_shift:
                courier.stream.deliveries_changed(is_live=bool(trips))
            else:
                courier.stream.end(OffShift(courier.courier_id))

    # -- the newest stream

    def _receive(self, payload: bytes) -> None:
        courier_bytes, epoch = _EPOCH.unpack(payload)
        self._supersede(UUID(bytes=courier_bytes), epoch)

    def _supersede(self, courier_id: UUID, epoch: int) -> None:
        courier = self._couriers.get(courier_id)
        if courier is not None and courier.stream is not None and courier.stream.epoch < epoch:
            courier.stream.end(StreamSuperseded())

    async def _check_streams(self) -> bool:
        """Wait, and end the streams that others have superseded."""
        # Every few seconds in any case: lost broadcasts are made good here.
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await self._check.wait()
        self._check.clear()
        streaming = [key for key, courier in self._couriers.items() if courier.stream is not None]
        if streaming:
            epochs = await self._tx.read(lambda unit: repository.read_epochs(unit.connection, streaming))
            for courier_id, epoch in epochs.items():
                self._supersede(courier_id, epoch)
        return False
