"""Where the typed client may speak plain text, and that it compresses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from marketplace_client import MarketplaceClient, MarketplaceError, PlainTextRefused
from marketplace_client.channel import is_this_machine

from tests.canaries import MARK

HERE = [
    "127.0.0.1:50051",
    "127.8.9.1:1",
    "localhost:50051",
    "LOCALHOST",
    "[::1]:50051",
    "::1",
    "[::ffff:127.0.0.1]:1",
    "0.0.0.0:50051",
    "dns:localhost:50051",
    "dns:///localhost:50051",
    "dns://8.8.8.8/localhost:50051",
    "ipv4:127.0.0.1:1,127.0.0.2:1",
    "ipv6:[::1]:1",
    "ipv6:%5B::1%5D:1",
    "unix:/run/marketd.sock",
    "unix-abstract:marketd",
]
ELSEWHERE = [
    "shop.example.com:443",
    "10.0.0.7:50051",
    "[2001:db8::1]:50051",
    "[::ffff:10.0.0.7]:1",
    "dns:///shop.example.com",
    "dns://127.0.0.1/shop.example.com:443",
    "ipv4:127.0.0.1:1,10.0.0.7:1",
    "localhost.example.com:1",
    "127.0.0.1.example.com:1",
    "xds:///shop",
    "ipv4:127.0.0.1:1%2C10.0.0.7%3A1",
    "ipv6:[::1]:1%2C[2001:db8::1]%3A1",
    "",
]


@pytest.mark.parametrize("target", HERE)
def test_plain_text_stays_on_this_machine(target: str) -> None:
    assert is_this_machine(target)
    assert MarketplaceClient(target).target == target


@pytest.mark.parametrize("target", ELSEWHERE)
def test_plain_text_to_another_machine_is_refused_unless_it_was_asked_for(target: str) -> None:
    with pytest.raises(PlainTextRefused, match="plaintext=True"):
        MarketplaceClient(target)
    assert MarketplaceClient(target, plaintext=True).target == target
    assert MarketplaceClient(target, credentials=grpc.ssl_channel_credentials()).target == target


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
async def test_what_stays_on_this_machine_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    came = asyncio.Event()

    async def proxy(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        async with MarketplaceClient("localhost:1", plaintext=True) as client:
            with pytest.raises(MarketplaceError):
                await client.login("jo", f"a passphrase {MARK}")
    assert not came.is_set()


LONG = "a text that says the same again and again; " * 2_000
ANSWER = catalog_service_pb2.ListProductsResponse(next_page_token="more")


class Tapped:
    """A server, and a relay before it that keeps what a client sends."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self._server_port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The relay's address."""

        async def answer(request: bytes, context: Any) -> bytes:
            return ANSWER.SerializeToString()

        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
        service = "marketplace.catalog.v1.CatalogService"
        handlers = [grpc.method_handlers_generic_handler(service, {"ListProducts": handler})]
        server = grpc.aio.server(handlers=handlers)
        self._server_port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        relay = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{relay.sockets[0].getsockname()[1]}"
        finally:
            relay.close()
            await server.stop(None)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(_copy(reader, upstream[1], self.sent), _copy(upstream[0], writer, bytearray()))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    with suppress(ConnectionError):
        while part := await reader.read(65_536):
            kept += part
            writer.write(part)
            await writer.drain()
    writer.close()


async def test_nothing_is_compressed_on_the_wire_also_when_a_call_asks_for_it() -> None:
    tapped = Tapped()
    request = catalog_service_pb2.ListProductsRequest(page_token=LONG)
    async with tapped.serving() as target, MarketplaceClient(target) as client:
        assert await client.catalog.ListProducts(request) == ANSWER
        assert await client.catalog.ListProducts(request, compression=grpc.Compression.Gzip) == ANSWER
    assert len(tapped.sent) > 2 * len(LONG)
    assert b"grpc-encoding" not in tapped.sent


async def test_the_relay_sees_what_another_client_compresses() -> None:
    tapped = Tapped()
    request = catalog_service_pb2.ListProductsRequest(page_token=LONG)
    async with tapped.serving() as target, grpc.aio.insecure_channel(target) as channel:
        stub: Any = CatalogServiceStub(channel)
        assert await stub.ListProducts(request, compression=grpc.Compression.Gzip) == ANSWER
    assert len(tapped.sent) < len(LONG)
    assert b"grpc-encoding" in tapped.sent
