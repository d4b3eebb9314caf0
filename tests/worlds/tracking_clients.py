"""Clients of tracking: a courier's end of an uplink, a watcher's end of a watch, and the positions that they send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, cast
from uuid import UUID

from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.tracking.servicer import TrackingServicer
from marketplace.tracking.v1 import position_pb2
from marketplace.tracking.v1.tracking_service_pb2 import (
    StreamLocationsRequest,
    StreamLocationsResponse,
    WatchDeliveryRequest,
    WatchDeliveryResponse,
)

PICKUP, DROPOFF = Point(52.5300, 13.4000), Point(52.5400, 13.4100)


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


class Uplink:
    """A courier's end of StreamLocations: messages go in by `send`, what came back is collected."""

    def __init__(self, servicer: TrackingServicer, caller: Caller) -> None:
        self._requests: asyncio.Queue[StreamLocationsRequest | None] = asyncio.Queue()
        self.answers: list[StreamLocationsResponse] = []
        self.acked_seq = 0
        self.rejected: list[tuple[int, int]] = []
        self.is_reading = asyncio.Event()
        self.is_reading.set()
        self._news = asyncio.Condition()
        self.task = asyncio.create_task(self._run(servicer, caller))

    def send(self, **message: Any) -> None:
        self._requests.put_nowait(StreamLocationsRequest(**message))

    def stop_reading(self) -> None:
        """Leave what comes unread until `is_reading` is set."""
        self.is_reading.clear()

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
                await self.is_reading.wait()
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
    def resume_token(self) -> str:
        return self.messages[-1].resume_token

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
