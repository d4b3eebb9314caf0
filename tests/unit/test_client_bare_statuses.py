"""An HTTP status without anything of gRPC in it: what proxies between the client and the marketplace answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from marketplace.order.v1 import order_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError


@asynccontextmanager
async def proxy(status: int) -> AsyncIterator[str]:
    """Something that answers every request over HTTP/2 with this status and a page; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        held.initiate_connection()
        writer.write(held.data_to_send())
        while data := await reader.read(65_536):
            for event in held.receive_data(data):
                if isinstance(event, h2.events.RequestReceived) and event.stream_id is not None:
                    held.send_headers(event.stream_id, [(":status", str(status)), ("content-type", "text/html")])
                    held.send_data(event.stream_id, b"<p>no</p>", end_stream=True)
            writer.write(held.data_to_send())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"), (404, grpc.StatusCode.UNIMPLEMENTED, "")],
)
async def test_a_bare_429_is_a_limit_that_was_met(status: int, code: grpc.StatusCode, reason: str) -> None:
    async with proxy(status) as target, MarketplaceClient(target) as client:
        with pytest.raises(MarketplaceError) as refused:
            await client.order.PlaceOrder(order_service_pb2.PlaceOrderRequest(request_id="x"), timeout=5)
    assert (refused.value.code, refused.value.reason) == (code, reason)
    assert not refused.value.was_dropped
