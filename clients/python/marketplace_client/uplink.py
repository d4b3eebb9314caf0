"""A courier's uplink: positions go up over whatever connection there is, and each gets exactly one outcome.

Unacknowledged positions wait in a bounded buffer and are sent again over a new stream; the server stores each number
once, so sending again is harmless.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc
from google.protobuf import timestamp_pb2
from google.type import latlng_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2

from marketplace_client.client import MarketplaceClient
from marketplace_client.errors import MarketplaceError
from marketplace_client.ledger import Ledger, Outcome
from marketplace_client.watch import can_resume, check_same

__all__ = ["CourierUplink", "Directive", "Outcome"]

_MAX_BATCH = 200
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_HELLO_SECONDS = 5.0
_ACK_SECONDS = 15.0

_Up = tracking_service_pb2.StreamLocationsRequest
_Down = tracking_service_pb2.StreamLocationsResponse


@dataclass(frozen=True)
class Directive:
    """How the server wants the courier to send: the least time between two positions, and why."""

    min_interval_seconds: float
    mode: tracking_service_pb2.UplinkMode.ValueType


class _Connection:
    """What belongs to one stream: how far it has sent, and whether it may go on."""

    def __init__(self) -> None:
        self.sent_seq = 0
        self.greeted = asyncio.Event()
        self.draining = False
        self.drain_seconds = 0.0
        # Since when something is owed to us: the answer to hello at first, then acknowledgements of what was sent.
        self.owed_since: float | None = time.monotonic()


class CourierUplink:
    """Sends the positions of the signed-in courier; use it with `async with`.

    `capacity` bounds the positions that wait for their acknowledgement: `send` waits while they are as many. A
    directive of the server slows the messages down to its interval; positions that were sampled more often than that
    travel together, and none is dropped. A backlog that was sampled no more often goes up at once. `on_outcome` hears
    of each position once, in the order of their numbers. Leaving the block waits for what is unacknowledged, at most
    `close_timeout` seconds.
    """

    def __init__(
        self,
        client: MarketplaceClient,
        *,
        device_id: str = "",
        uplink_id: str | None = None,
        capacity: int = 10_000,
        batch_size: int = _MAX_BATCH,
        close_timeout: float = 10.0,
        on_outcome: Callable[[Outcome], None] | None = None,
        on_directive: Callable[[Directive], None] | None = None,
    ) -> None:
        self.uplink_id = uplink_id or str(uuid.uuid4())
        self._client = client
        self._device_id = device_id
        self._batch_size = max(1, min(batch_size, _MAX_BATCH))
        self._close_timeout = close_timeout
        self._on_directive = on_directive
        self._ledger = Ledger(capacity, on_outcome)
        self._directive: Directive | None = None
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._failure: MarketplaceError | None = None
        self._closing = False
        self._ended = False
        self._connections = 0

    # -- what is known

    @property
    def last_acked_seq(self) -> int:
        """The highest acknowledged number."""
        return self._ledger.acked_seq

    @property
    def unacknowledged(self) -> int:
        """How many positions have no outcome yet."""
        return len(self._ledger)

    @property
    def stored(self) -> int:
        """How many positions the server has stored."""
        return self._ledger.stored

    @property
    def rejected(self) -> int:
        """How many positions the server has rejected."""
        return self._ledger.rejected

    @property
    def directive(self) -> Directive | None:
        """What the server last asked for; whoever samples should follow its interval."""
        return self._directive

    @property
    def connections(self) -> int:
        """How many streams were opened so far."""
        return self._connections

    # -- sending

    async def send(
        self,
        latitude: float,
        longitude: float,
        sample_time: timestamp_pb2.Timestamp,
        *,
        accuracy_meters: float | None = None,
        speed_mps: float | None = None,
        heading_degrees: float | None = None,
        mocked: bool = False,
        battery_percent: int | None = None,
    ) -> int:
        """Take one position and give its number; waits while the buffer is full. Raises what ended the uplink."""
        return await self.send_position(
            position_pb2.Position(
                sample_time=sample_time,
                point=latlng_pb2.LatLng(latitude=latitude, longitude=longitude),
                accuracy_meters=accuracy_meters,
                speed_mps=speed_mps,
                heading_degrees=heading_degrees,
                mocked=mocked,
                battery_percent=battery_percent,
            )
        )

    async def send_position(self, position: position_pb2.Position) -> int:
        """Take one position as it is, but for its number, which is given here."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._ledger.is_full or self._over)
            self._raise_failure()
            if self._closing:
                raise RuntimeError("the uplink is closed")
            seq = self._ledger.take(position)
            self._changed.notify_all()
            return seq

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until every position has its outcome. Raises TimeoutError, and what ended the uplink."""
        await self._settled(timeout)
        self._raise_failure()

    # -- life

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the stream; without an error, after what is unacknowledged."""
        if kind is None:
            with suppress(TimeoutError):
                await self._settled(self._close_timeout)
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (mistake := self._task.exception()) is not None:
                raise mistake

    async def _settled(self, timeout: float | None) -> None:
        """Wait until every position has its outcome, or none will come any more. Raises TimeoutError."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(self._ledger) == 0 or self._over)

    @property
    def _over(self) -> bool:
        return self._closing or self._ended

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended and not self._closing:
            raise RuntimeError("the uplink has ended by a mistake; leaving its block tells which")

    async def _run(self) -> None:
        try:
            await self._stay_connected()
        finally:
            # Also after a bug of this package: nobody may wait for ever.
            async with self._changed:
                self._ended = True
                self._changed.notify_all()

    async def _stay_connected(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        owner: object = None
        while not self._closing:
            before, connection = self._ledger.acked_seq, _Connection()
            wanted = 0.0
            try:
                check_same(self._client, owner)
                owner = self._client.owner if owner is None else owner
                await self._converse(connection)
                wanted = connection.drain_seconds
            except MarketplaceError as error:
                if not can_resume(self._client, error):
                    self._failure = error
                    return
                wanted = max(error.retry_after or 0.0, connection.drain_seconds)
            if self._ledger.acked_seq > before:
                pause = _FIRST_PAUSE_SECONDS
            await asyncio.sleep(max(wanted, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _converse(self, connection: _Connection) -> None:
        """One stream from hello to its end. An end with OK returns; others raise MarketplaceError."""
        self._connections += 1
        stream = aiter(self._client.tracking.StreamLocations(self._messages(connection)))
        following: asyncio.Future[_Down] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(stream))
                while not (await asyncio.wait([following], timeout=_ACK_SECONDS))[0]:
                    owed = connection.owed_since
                    if owed is not None and time.monotonic() - owed >= _ACK_SECONDS:
                        raise MarketplaceError(grpc.StatusCode.UNAVAILABLE, "positions were not acknowledged in time")
                try:
                    message = following.result()
                except StopAsyncIteration:
                    return
                await self._hear(connection, message)
        finally:
            if following is not None and following.cancel():
                await asyncio.wait([following])
            async with self._changed:
                connection.draining = True
                self._changed.notify_all()

    async def _hear(self, connection: _Connection, message: _Down) -> None:
        kind = message.WhichOneof("message")
        async with self._changed:
            if kind == "ack":
                self._ledger.acknowledge(message.ack)
                connection.greeted.set()
                connection.owed_since = time.monotonic() if connection.sent_seq > self._ledger.acked_seq else None
            elif kind == "directive":
                self._directive = Directive(
                    message.directive.min_interval.ToTimedelta().total_seconds(), message.directive.mode
                )
                if self._on_directive is not None:
                    self._on_directive(self._directive)
            elif kind == "drain":
                connection.draining = True
                connection.drain_seconds = message.drain.retry_after.ToTimedelta().total_seconds()
            self._changed.notify_all()

    async def _messages(self, connection: _Connection) -> AsyncIterator[_Up]:
        """What goes up over one stream: hello, then everything unacknowledged, then what comes."""
        acked = self._ledger.acked_seq
        hello = tracking_service_pb2.Hello(uplink_id=self.uplink_id, device_id=self._device_id, last_acked_seq=acked)
        yield _Up(hello=hello)
        # The answer to hello says what the server already has, which then need not be sent again.
        with suppress(TimeoutError):
            async with asyncio.timeout(_HELLO_SECONDS):  # see watch.py for why this is not wait_for
                await connection.greeted.wait()
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: connection.draining or self._closing or self._ledger.has_after(connection.sent_seq)
                )
                if connection.draining or self._closing:
                    return  # half-closes the stream; acknowledgements of what was sent still come
                positions = self._ledger.after(connection.sent_seq, self._batch_size)
                connection.sent_seq = positions[-1].seq
                connection.owed_since = connection.owed_since or time.monotonic()
            yield _Up(batch=position_pb2.PositionBatch(positions=positions))
            directive = self._directive
            if directive is not None and directive.min_interval_seconds > 0 and not self._keeps(directive, positions):
                await self._pace(connection, directive)

    def _keeps(self, directive: Directive, positions: Sequence[position_pb2.Position]) -> bool:
        """Whether more waits than a message holds, and was sampled no more often than the directive asks.

        Pausing between its messages would only make a day's backlog take minutes.
        """
        if len(positions) < max(self._batch_size, 2):
            return False
        first, last = positions[0].sample_time, positions[-1].sample_time
        apart = last.ToNanoseconds() - first.ToNanoseconds()
        return apart >= (len(positions) - 1) * directive.min_interval_seconds * 1e9

    async def _pace(self, connection: _Connection, directive: Directive) -> None:
        """Wait for the directive's interval; a newer directive or the end of the stream cuts it short."""
        with suppress(TimeoutError):
            async with asyncio.timeout(directive.min_interval_seconds), self._changed:
                await self._changed.wait_for(
                    lambda: connection.draining or self._closing or self._directive is not directive
                )
