"""Where the typed client may speak plain text."""

from __future__ import annotations

import asyncio

import grpc
import pytest
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
