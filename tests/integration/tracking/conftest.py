"""Workers of tracking on a real database, couriers on shift with deliveries, and clients that stream and watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from marketd.delivery.estimate import Pace, band
from marketd.delivery.events import DeliveryAssigned, DeliveryCreated, DeliveryPickedUp
from marketd.delivery.model import CourierState, DeliveryOutcome, DeliveryState, StopKind, Vehicle
from marketd.delivery.repository import couriers, deliveries
from marketd.delivery.transition import close, make_event, transition
from marketd.delivery.values import Courier, Delivery, DeliveryCourier, Stop
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.broadcast import Broadcast, LocalBroadcast, PostgresBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import ResumeTokens
from marketd.kernel.values.address import Address
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.tracking import invariants
from marketd.tracking.servicer import TrackingServicer
from marketd.tracking.trip.journal import Journal
from marketd.tracking.uplink.couriers import HeardCouriers
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.position_writer import PositionWriter
from marketd.tracking.watch.hub import Hub
from marketplace.tracking.v1 import position_pb2
from marketplace.tracking.v1.tracking_service_pb2 import (
    ReportLocationsRequest,
    StreamLocationsRequest,
    StreamLocationsResponse,
    WatchDeliveryRequest,
    WatchDeliveryResponse,
)

PICKUP, DROPOFF = Point(52.5300, 13.4000), Point(52.5400, 13.4100)
RATE_HZ = 5.0


def now_seconds() -> float:
    """The wall clock."""
    return SystemClock().now().timestamp()


def position(
    seq: int, at: float | None = None, point: Point = PICKUP, accuracy: float | None = 5.0
) -> position_pb2.Position:
    """A position sampled `at` (seconds since the epoch)."""
    made = position_pb2.Position(seq=seq, accuracy_meters=accuracy)
    made.sample_time.FromMicroseconds(round((now_seconds() if at is None else at) * 1_000_000))
    made.point.latitude, made.point.longitude = point.latitude, point.longitude
    return made


def caller_of(user_id: UUID, *roles: Role) -> Caller:
    """A signed-in caller."""
    return Caller(user_id, new_id(), frozenset(roles))


@dataclass(frozen=True)
class Bringing:
    """A delivery with its people."""

    delivery_id: UUID
    order_id: UUID
    buyer: Caller
    seller: Caller


class Uplink:
    """A courier's end of StreamLocations: messages go in by `send`, what came back is collected."""

    def __init__(self, servicer: TrackingServicer, caller: Caller) -> None:
        self._requests: asyncio.Queue[StreamLocationsRequest | None] = asyncio.Queue()
        self.answers: list[StreamLocationsResponse] = []
        self.acked_seq = 0
        self.rejected: list[tuple[int, int]] = []
        self._news = asyncio.Condition()
        self.task = asyncio.create_task(self._run(servicer, caller))

    def send(self, **message: Any) -> None:
        self._requests.put_nowait(StreamLocationsRequest(**message))

    def hello(self, uplink_id: UUID, last_acked_seq: int = 0) -> None:
        self.send(hello={"uplink_id": str(uplink_id), "device_id": "phone", "last_acked_seq": last_acked_seq})

    def batch(self, positions: Iterable[position_pb2.Position]) -> None:
        self.send(batch=position_pb2.PositionBatch(positions=positions))

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until answers have made it so."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: holds() or self.task.done())
        if not holds():
            await self.task
            raise AssertionError("the stream has ended before")

    async def acked(self, seq: int) -> None:
        await self.until(lambda: self.acked_seq >= seq)

    async def finish(self) -> None:
        """Send no more, and wait for the stream's good end."""
        self._requests.put_nowait(None)
        async with asyncio.timeout(10):
            await self.task

    async def drop(self) -> None:
        """The connection is gone."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def unread(self) -> int:
        """How many messages the server has not read."""
        return self._requests.qsize()

    def kinds(self) -> list[str | None]:
        return [answer.WhichOneof("message") for answer in self.answers]

    async def _read(self) -> AsyncIterator[StreamLocationsRequest]:
        while (request := await self._requests.get()) is not None:
            yield request

    async def _run(self, servicer: TrackingServicer, caller: Caller) -> None:
        calls.enter(Call(caller=caller))
        try:
            async for answer in servicer.StreamLocations(self._read(), cast("Any", None)):
                self.answers.append(answer)
                if answer.HasField("ack"):
                    assert answer.ack.acked_seq >= self.acked_seq
                    self.acked_seq = answer.ack.acked_seq
                    self.rejected += [(entry.seq, entry.reason) for entry in answer.ack.rejected]
                async with self._news:
                    self._news.notify_all()
        finally:
            async with self._news:
                self._news.notify_all()


class Watching:
    """A watcher's end of WatchDelivery."""

    def __init__(self, servicer: TrackingServicer, caller: Caller, request: WatchDeliveryRequest) -> None:
        self.messages: list[WatchDeliveryResponse] = []
        self._news = asyncio.Condition()
        self.task = asyncio.create_task(self._run(servicer, caller, request))

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: holds() or self.task.done())
        if not holds():
            await self.task
            raise AssertionError(f"the watch has ended with {self.kinds()}")

    async def got(self, kind: str, count: int = 1) -> WatchDeliveryResponse:
        """The `count`-th message of this kind, which may still be on its way."""
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    async def position(self, seq: int) -> None:
        """Wait until the newest position is this one."""
        await self.until(lambda: [m.position.seq for m in self.of("position")[-1:]] == [seq])

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await self.task

    async def drop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("event") for message in self.messages]

    def of(self, kind: str) -> list[WatchDeliveryResponse]:
        return [message for message in self.messages if message.WhichOneof("event") == kind]

    @property
    def cursor(self) -> str:
        return self.messages[-1].cursor

    async def _run(self, servicer: TrackingServicer, caller: Caller, request: WatchDeliveryRequest) -> None:
        calls.enter(Call(caller=caller))
        try:
            frames = cast("AsyncIterator[object]", servicer.WatchDelivery(request, cast("Any", None)))
            async for frame in frames:
                assert isinstance(frame, bytes)  # serialized once for all watchers
                self.messages.append(WatchDeliveryResponse.FromString(frame))
                async with self._news:
                    self._news.notify_all()
        finally:
            async with self._news:
                self._news.notify_all()


@dataclass
class Worker:
    """One process' machinery."""

    tx: Transactor
    feed: Feed
    hub: Hub
    writer: PositionWriter
    servicer: TrackingServicer
    resume: ResumeTokens
    open: list[Uplink | Watching] = field(default_factory=list)

    def uplink(self, courier: Caller) -> Uplink:
        made = Uplink(self.servicer, courier)
        self.open.append(made)
        return made

    def watch(self, caller: Caller, delivery_id: UUID, *, resume_token: str = "", max_rate_hz: float = 0) -> Watching:
        request = WatchDeliveryRequest(delivery_id=str(delivery_id), resume_token=resume_token, max_rate_hz=max_rate_hz)
        made = Watching(self.servicer, caller, request)
        self.open.append(made)
        return made

    async def report(
        self, courier: Caller, uplink_id: UUID, positions: Sequence[position_pb2.Position]
    ) -> position_pb2.Ack:
        async def call() -> position_pb2.Ack:
            calls.enter(Call(caller=courier))
            request = ReportLocationsRequest(
                uplink_id=str(uplink_id), batch=position_pb2.PositionBatch(positions=positions)
            )
            return (await self.servicer.ReportLocations(request, cast("Any", None))).ack

        return await asyncio.create_task(call())


@asynccontextmanager
async def run_worker(tx: Transactor, broadcast: Broadcast, *, heartbeat_seconds: float = 10.0) -> AsyncIterator[Worker]:
    """A worker with its background tasks."""
    feed, resume, clock = Feed(broadcast), ResumeTokens(b"test", "test-watch", SystemClock()), SystemClock()
    tx.listen(feed.committed)
    hub = Hub(tx, feed, broadcast, resume, clock, heartbeat_seconds=heartbeat_seconds)
    writer, journal, heard = PositionWriter(tx, gather_seconds=0.02), Journal(tx), HeardCouriers(tx, feed, broadcast)
    intake = Intake(hub, writer, journal, Pace(5.5))
    worker = Worker(tx, feed, hub, writer, TrackingServicer(tx, hub, intake, heard, resume, rate_hz=RATE_HZ), resume)
    tasks = [asyncio.create_task(part.run()) for part in (hub, writer, journal, heard)]
    try:
        yield worker
    finally:
        for client in worker.open:
            await client.drop()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError)


@dataclass
class World:
    """The database with its couriers and deliveries."""

    tx: Transactor

    async def courier(self) -> tuple[Caller, UUID]:
        """An active courier on shift."""
        user_id, courier_id = new_id(), new_id()

        async def work(uow: UnitOfWork) -> None:
            new = Courier(
                courier_id=courier_id,
                user_id=user_id,
                first_name="Noor",
                last_name="Quiet",
                phone="",
                vehicle=Vehicle.BICYCLE,
                plate_number="",
                state=CourierState.ACTIVE,
                create_time=uow.now,
                update_time=uow.now,
            )
            await couriers.insert(uow.connection, new)
            await couriers.start_shift(uow.connection, new_id(), courier_id, Vehicle.BICYCLE, uow.now)

        await self.tx.run("test.courier", work)
        return caller_of(user_id, Role.BUYER, Role.COURIER), courier_id

    async def end_shift(self, courier_id: UUID) -> None:
        async def work(uow: UnitOfWork) -> None:
            courier = await couriers.lock(uow.connection, courier_id)
            assert courier is not None
            assert courier.shift_id is not None
            await couriers.end_shift(uow.connection, courier.shift_id, uow.now)

        await self.tx.run("test.shift", work)

    async def delivery(self, courier_id: UUID | None = None) -> Bringing:
        """A delivery from PICKUP to DROPOFF, assigned when a courier is named."""
        made = Bringing(new_id(), new_id(), caller_of(new_id(), Role.BUYER), caller_of(new_id(), Role.SELLER))

        def address(point: Point) -> Address:
            return Address("Kim", "+4930111", ("Torstr. 1",), "Berlin", "", "10119", "DE", point)

        async def work(uow: UnitOfWork) -> None:
            new = Delivery(
                delivery_id=made.delivery_id,
                order_id=made.order_id,
                order_number="K7QW-2M9T",
                seller_id=new_id(),
                owner_user_id=made.seller.known_user_id,
                buyer_id=made.buyer.known_user_id,
                dropoff_code="123456",
                pickup=Stop(StopKind.PICKUP, address(PICKUP)),
                dropoff=Stop(StopKind.DROPOFF, address(DROPOFF)),
                fee_minor=490,
                currency="EUR",
                item_count=1,
                ready_time=uow.now,
                eta=band(uow.now, uow.now + timedelta(minutes=30)),
                create_time=uow.now,
                update_time=uow.now,
            )
            assert await deliveries.insert(uow.connection, new)
            people = {"seller_id": new.seller_id, "buyer_id": new.buyer_id}
            uow.emit(make_event(DeliveryCreated, new, new.state, uow.now, people))

        await self.tx.run("test.delivery", work)
        if courier_id is not None:
            await self.step(made.delivery_id, DeliveryState.ASSIGNED, courier_id)
        return made

    async def step(self, delivery_id: UUID, state: DeliveryState, courier_id: UUID | None = None) -> None:
        """Move the delivery on as delivery's use cases do, without its order. CLOSED: it was delivered."""

        async def work(uow: UnitOfWork) -> None:
            before = await deliveries.lock(uow.connection, delivery_id)
            assert before is not None
            if state is DeliveryState.CLOSED:
                await close(uow, before, DeliveryOutcome.DELIVERED)
            elif courier_id is None:
                await transition(uow, before, state, DeliveryPickedUp)
            else:
                courier = await couriers.lock(uow.connection, courier_id)
                assert courier is not None
                told = {"courier_user_id": courier.user_id}
                brings = DeliveryCourier(courier_id, courier.user_id, courier.first_name, Vehicle.BICYCLE)
                await transition(uow, before, state, DeliveryAssigned, told, courier=brings)

        await self.tx.run("test.step", work)

    async def stored(self, courier_id: UUID) -> list[int]:
        """The numbers of the courier's stored positions, with repeats if there were any."""
        rows = await self.tx.read(
            lambda unit: unit.connection.fetch(
                "SELECT seq FROM position_points WHERE courier_id = $1 ORDER BY seq", courier_id
            )
        )
        return [row["seq"] for row in rows]

    async def violations(self) -> list[str]:
        """What the invariants find."""
        return await self.tx.read(lambda unit: violations(unit.connection, invariants.INVARIANTS))


@pytest.fixture
async def world(tx: Transactor) -> AsyncIterator[World]:
    """A database without partitions for its days (the default one takes all); the invariants must hold in the end."""
    made = World(tx)
    yield made
    assert await made.violations() == []


@pytest.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    """One worker."""
    async with run_worker(world.tx, LocalBroadcast()) as made:
        yield made


@pytest.fixture
async def quick_heart(world: World) -> AsyncIterator[Worker]:
    """A worker whose heartbeats come soon."""
    async with run_worker(world.tx, LocalBroadcast(), heartbeat_seconds=0.1) as made:
        yield made


@pytest.fixture
async def workers(world: World, database_url: str) -> AsyncIterator[list[Worker]]:
    """Two workers with nothing in common but the database; the world acts through the first."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        made: list[Worker] = []
        tasks: list[asyncio.Task[None]] = []
        for _ in range(2):
            broadcast = PostgresBroadcast(database_url)
            tasks.append(group.create_task(broadcast.run()))
            await broadcast.connected.wait()
            engine = create_engine(database_url, pool_size=5, pool_timeout_seconds=5)
            stack.push_async_callback(engine.dispose)
            tx = Transactor(engine, SystemClock())
            stack.push_async_callback(tx.drain)
            made.append(await stack.enter_async_context(run_worker(tx, broadcast)))
        before, world.tx = world.tx, made[0].tx
        yield made
        world.tx = before
        await stack.aclose()
        for task in tasks:
            task.cancel()
