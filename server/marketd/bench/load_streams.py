"""The streams of a load process: couriers' positions upwards, and one event to many watchers.

Every message is made before the clock starts. What is timed is from the first message to the last acknowledgement, or
to the last watcher's last event.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2

from marketd.bench.load_channels import bearer, open_channels
from marketd.bench.work import Fanout, Found, Positions, Uplink

SAMPLE_MICROS = 200_000
_METERS_A_SAMPLE = 1.0
_DEGREES_A_METER = 1 / 111_320
_TURN_METERS = 400.0
_WAIT_SECONDS = 30.0

Request = tracking_service_pb2.StreamLocationsRequest
Response = tracking_service_pb2.StreamLocationsResponse


class Unexpected(Exception):
    """The server did something that voids the measure."""


def position(uplink: Uplink, index: int, sample_micros: int | None = None) -> position_pb2.Position:
    """The uplink's position number `index`: a bicycle going round, sampled five times a second or when it is said."""
    micros = sample_micros or uplink.first_sample_micros + index * SAMPLE_MICROS
    angle = (uplink.first_seq + index) * _METERS_A_SAMPLE / _TURN_METERS
    radius = _TURN_METERS * _DEGREES_A_METER
    return position_pb2.Position(
        seq=uplink.first_seq + index,
        sample_time=Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000),
        point=LatLng(
            latitude=uplink.latitude + radius * math.sin(angle),
            longitude=uplink.longitude + radius * math.cos(angle) / math.cos(math.radians(uplink.latitude)),
        ),
        accuracy_meters=6.0,
        speed_mps=5.0,
        heading_degrees=math.degrees(angle) % 360,
    )


def batch(uplink: Uplink, first: int, count: int, sample_micros: int | None = None) -> bytes:
    """A message with `count` positions from index `first` on."""
    positions = [position(uplink, first + index, sample_micros) for index in range(count)]
    return Request(batch=position_pb2.PositionBatch(positions=positions)).SerializeToString()


async def greet(stream: Any, uplink: Uplink) -> None:
    """Say hello and wait until the server has taken it: its answer to a ping comes after that."""
    hello = tracking_service_pb2.Hello(
        uplink_id=uplink.uplink_id, device_id="bench", last_acked_seq=uplink.first_seq - 1
    )
    await stream.write(Request(hello=hello).SerializeToString())
    await stream.write(Request(ping=tracking_service_pb2.Ping()).SerializeToString())
    async with asyncio.timeout(_WAIT_SECONDS):
        while (raw := await stream.read()) is not grpc.aio.EOF:
            if Response.FromString(raw).HasField("pong"):
                return
    raise Unexpected("the stream ended before the pong")


class _Sender:
    """One uplink's stream: sends at its pace while fewer than `window` messages wait, and times each until it is
    acknowledged. `phase` (0..1) is where in the interval between two messages it begins.
    """

    def __init__(self, stream: Any, uplink: Uplink, given: Positions, phase: float) -> None:
        step = given.positions_per_message
        self._stream = stream
        self._messages = [batch(uplink, index * step, step) for index in range(given.messages)]
        self._last_seqs = [uplink.first_seq + (index + 1) * step - 1 for index in range(given.messages)]
        self._sent: list[int] = []
        self._interval = 1 / given.rate_hz
        self._phase = phase
        self._room = asyncio.Semaphore(given.window)
        self.latencies_us: list[int] = []

    async def run(self) -> None:
        """Send everything and see everything acknowledged."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            tasks.create_task(self._take())

    async def end(self) -> None:
        """End the stream in order."""
        await self._stream.done_writing()
        async with asyncio.timeout(_WAIT_SECONDS):
            while await self._stream.read() is not grpc.aio.EOF:
                pass

    async def _send(self) -> None:
        write, now, begun = self._stream.write, time.perf_counter_ns, time.perf_counter()
        for index, message in enumerate(self._messages):
            await asyncio.sleep(begun + (index + self._phase) * self._interval - time.perf_counter())
            await self._room.acquire()
            self._sent.append(now())
            await write(message)

    async def _take(self) -> None:
        done = 0
        while done < len(self._messages):
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    raw = await self._stream.read()
            except TimeoutError:
                raise Unexpected(f"no acknowledgement for {_WAIT_SECONDS:.0f} s") from None
            if raw is grpc.aio.EOF:
                raise Unexpected(f"the stream ended after {done} of {len(self._messages)} messages")
            answer = Response.FromString(raw)
            if not answer.HasField("ack"):
                continue
            if answer.ack.rejected:
                raise Unexpected(f"{len(answer.ack.rejected)} positions were rejected")
            acked, now = bisect_right(self._last_seqs, answer.ack.acked_seq), time.perf_counter_ns()
            self.latencies_us.extend((now - sent) // 1000 for sent in self._sent[done:acked])
            for _ in range(acked - done):
                self._room.release()
            done = max(done, acked)


@asynccontextmanager
async def positions(given: Positions) -> AsyncIterator[Callable[[], Awaitable[Found]]]:
    """Ready for `Positions`: the streams stand and the messages are made."""
    async with AsyncExitStack() as stack:
        channels = await open_channels(stack, given.target, given.connections)
        senders = []
        for index, uplink in enumerate(given.uplinks):
            method: Any = channels[index % len(channels)].stream_stream(given.path)
            stream = method(metadata=bearer(uplink.token))
            stack.callback(stream.cancel)
            await greet(stream, uplink)
            senders.append(_Sender(stream, uplink, given, index / len(given.uplinks)))

        async def run() -> Found:
            begun = time.perf_counter()
            await _all([sender.run() for sender in senders])
            seconds = time.perf_counter() - begun
            await _all([sender.end() for sender in senders])
            latencies = [latency for sender in senders for latency in sender.latencies_us]
            return Found(len(latencies), seconds, latencies, positions=given.messages * given.positions_per_message)

        yield run


class _Audience:
    """Watchers that note when an event reaches them; `everyone` is set when none still waits for it."""

    def __init__(self, size: int) -> None:
        self._all = range(size)
        self._published = 0
        self.waiting: set[int] = set()
        self.everyone = asyncio.Event()
        self.latencies_us: list[int] = []

    def expect(self) -> None:
        """An event is about to be published."""
        self.waiting.update(self._all)
        self._published = time.perf_counter_ns()
        self.everyone.clear()

    async def follow(self, index: int, stream: Any) -> None:
        """Read one watcher's stream until it is cancelled."""
        while (raw := await stream.read()) is not grpc.aio.EOF:
            if not tracking_service_pb2.WatchDeliveryResponse.FromString(raw).HasField("position"):
                continue
            if index not in self.waiting:
                continue  # of before the measure
            self.waiting.remove(index)
            self.latencies_us.append((time.perf_counter_ns() - self._published) // 1000)
            if not self.waiting:
                self.everyone.set()
        raise Unexpected("a watcher's stream ended")

    async def all_have_it(self) -> None:
        """Wait for the last of them. Raises Unexpected when that takes too long."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self.everyone.wait()
        except TimeoutError:
            late = len(self.waiting)
            raise Unexpected(f"{late} of {len(self._all)} watchers got no position for {_WAIT_SECONDS:.0f} s") from None


@asynccontextmanager
async def fanout(given: Fanout) -> AsyncIterator[Callable[[], Awaitable[Found]]]:
    """Ready for `Fanout`: every watcher has its first message, and the uplink stands."""
    async with AsyncExitStack() as stack:
        channels = await open_channels(stack, given.target, given.connections)
        watchers = []
        for index in range(given.watchers):
            method: Any = channels[index % len(channels)].unary_stream(given.watch_path)
            watcher = method(given.watch_request, metadata=bearer(given.watch_token))
            stack.callback(watcher.cancel)
            watchers.append(watcher)
        async with asyncio.timeout(_WAIT_SECONDS):
            for watcher in watchers:
                if await watcher.read() is grpc.aio.EOF:
                    raise Unexpected("a watcher's stream ended at once")
        upwards: Any = channels[0].stream_stream(given.uplink_path)
        uplink = upwards(metadata=bearer(given.uplink.token))
        stack.callback(uplink.cancel)
        await greet(uplink, given.uplink)

        async def run() -> Found:
            audience = _Audience(len(watchers))
            async with asyncio.TaskGroup() as tasks:
                reading = [tasks.create_task(audience.follow(*pair)) for pair in enumerate(watchers)]
                reading.append(tasks.create_task(_discard(uplink)))
                await asyncio.sleep(0)
                begun = time.perf_counter()
                published, micros = 0, given.uplink.first_sample_micros
                while time.perf_counter() - begun < given.seconds:
                    audience.expect()
                    # Live positions: each sampled as it is sent.
                    micros = max(micros + 1, time.time_ns() // 1000)
                    await uplink.write(batch(given.uplink, published, 1, micros))
                    published += 1
                    await audience.all_have_it()
                seconds = time.perf_counter() - begun
                for task in reading:
                    task.cancel()
            latencies = audience.latencies_us
            return Found(len(latencies), seconds, latencies, positions=published)

        yield run


async def _discard(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass
    raise Unexpected("the uplink ended")


async def _all(runs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them together; the first failure ends the rest."""
    async with asyncio.TaskGroup() as tasks:
        for run in runs:
            tasks.create_task(run)
