"""marketplace.tracking.v1.TrackingService: messages in and out; what they mean stands elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from marketplace.tracking.v1 import tracking_service_pb2_grpc
from marketplace.tracking.v1.tracking_service_pb2 import (
    Hello,
    ReportLocationsRequest,
    ReportLocationsResponse,
    StreamLocationsRequest,
    StreamLocationsResponse,
    WatchDeliveryRequest,
    WatchDeliveryResponse,
)

from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.watch import ResumeTokens
from marketd.tracking.errors import HelloExpected
from marketd.tracking.uplink import convert
from marketd.tracking.uplink.acks import Acks
from marketd.tracking.uplink.couriers import HeardCouriers
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.open import open_stream, read_earlier, require_reporting_courier
from marketd.tracking.uplink.report import open_report, report
from marketd.tracking.uplink.sending_rate import SendingRate
from marketd.tracking.uplink.stream import UplinkStream
from marketd.tracking.watch.follow import follow
from marketd.tracking.watch.hub import Hub

if TYPE_CHECKING:
    import grpc


class TrackingServicer(tracking_service_pb2_grpc.TrackingServiceServicer):
    """Serves couriers' uplinks and watchers. Positions a second above `rate_hz` earn a courier a directive."""

    def __init__(
        self, tx: Transactor, hub: Hub, intake: Intake, couriers: HeardCouriers, resume: ResumeTokens, *, rate_hz: float
    ) -> None:
        self._tx = tx
        self._hub = hub
        self._intake = intake
        self._couriers = couriers
        self._resume = resume
        self._rate_hz = rate_hz
        self._streams: set[UplinkStream] = set()

    async def on_drain(self) -> None:
        """Tell every courier on a stream that this server goes down; for transport's drain hooks."""
        for stream in tuple(self._streams):
            stream.drain()

    async def StreamLocations(
        self,
        request_iterator: AsyncIterator[StreamLocationsRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[StreamLocationsResponse]:
        """Answers while it reads: a reader task hands messages to the stream, this generator sends its answers."""
        caller = calls.current_caller()
        hello = await _read_hello(request_iterator)
        if hello is None:
            return
        async with AsyncExitStack() as stack:
            stream = await self._open(stack, caller, hello)
            reader = asyncio.create_task(_read(request_iterator, stream))
            try:
                while (message := await stream.next()) is not None:
                    yield message
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

    async def ReportLocations(
        self, request: ReportLocationsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ReportLocationsResponse:
        caller, uplink_id = calls.current_caller(), UUID(request.uplink_id)
        courier_id = await self._tx.read(lambda unit: require_reporting_courier(unit, caller))
        async with (
            self._couriers.hear(courier_id, caller.known_user_id) as courier,
            self._couriers.hear_uplink(courier, uplink_id) as uplink,
        ):
            settled_seq = await self._tx.run(
                "tracking.report", lambda uow: open_report(uow, courier_id, uplink_id, request.device_id)
            )
            uplink.restore(settled_seq)
            samples = [convert.from_position(position) for position in request.batch.positions]
            acked_seq, rejected = await report(self._intake, courier, uplink, samples)
        return ReportLocationsResponse(ack=convert.ack(acked_seq, rejected, self._hub.now_micros))

    async def WatchDelivery(
        self, request: WatchDeliveryRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[WatchDeliveryResponse]:
        serialized = follow(
            self._tx,
            self._hub,
            self._resume,
            calls.current_caller(),
            UUID(request.delivery_id),
            resume_token=request.resume_token,
            max_rate_hz=request.max_rate_hz,
        )
        # Transport sends serialized messages as they stand; the type keeps the contract's signature.
        async with aclosing(cast("AsyncGenerator[WatchDeliveryResponse, None]", serialized)) as frames:
            async for frame in frames:
                yield frame

    async def _open(self, stack: AsyncExitStack, caller: Caller, hello: Hello) -> UplinkStream:
        """The stream behind a hello, the courier's newest; what it holds is given back with the stack."""
        uplink_id = UUID(hello.uplink_id)
        courier_id = await self._tx.read(lambda unit: require_reporting_courier(unit, caller))
        courier = await stack.enter_async_context(self._couriers.hear(courier_id, caller.known_user_id))
        uplink = await stack.enter_async_context(self._couriers.hear_uplink(courier, uplink_id))
        acks = Acks(uplink, 0)
        stream = UplinkStream(
            courier,
            acks,
            self._intake,
            SendingRate(self._rate_hz),
            lambda after: self._tx.read(
                lambda unit: read_earlier(unit, courier_id, uplink_id, after, opened.settled_seq)
            ),
        )
        uplink.listeners.append(stream)
        stack.callback(uplink.leave, stream)
        opened = await self._tx.run(
            "tracking.hello",
            lambda uow: open_stream(uow, courier_id, uplink_id, hello.device_id, hello.last_acked_seq),
        )
        uplink.restore(opened.settled_seq)
        newest = self._hub.newest(courier_id)
        if newest is not None:
            courier.track.adopt(newest)
        # A client that claims more than we know must still be told of everything from here on.
        stream.open(opened.epoch, min(hello.last_acked_seq, opened.settled_seq), opened.earlier)
        self._streams.add(stream)
        stack.callback(self._streams.discard, stream)
        stack.callback(stream.close)
        stack.callback(self._couriers.give_up, courier, stream)
        self._couriers.take_over(courier, stream)
        return stream


async def _read_hello(requests: AsyncIterator[StreamLocationsRequest]) -> Hello | None:
    """The first message; None when there is none. Raises HelloExpected for any other."""
    async for request in requests:
        if request.WhichOneof("message") != "hello":
            raise HelloExpected
        return request.hello
    return None


async def _read(requests: AsyncIterator[StreamLocationsRequest], stream: UplinkStream) -> None:
    """Hand the courier's messages to the stream until they end or one of them is wrong."""
    try:
        async for request in requests:
            match request.WhichOneof("message"):
                case "batch":
                    await stream.receive([convert.from_position(position) for position in request.batch.positions])
                case "ping":
                    stream.ping(request.ping)
                case _:
                    raise HelloExpected
    except Exception as error:  # noqa: BLE001 - whatever it is, the stream raises it where the edge sees it
        stream.close_input(error)
    else:
        stream.close_input()
