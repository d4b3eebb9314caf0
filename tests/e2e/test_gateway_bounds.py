"""What one client may take of the gateway: the short forms of tests/faults/test_gateway_bounds.py."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from marketd.gateway.gateway import Upstream

from tests.worlds.gateway import RunningGateway, running
from tests.worlds.parts import make_settings
from tests.worlds.raw_http2 import CONTINUATION, HEADERS, PREFACE, Connection, block, frame, message
from tests.worlds.web_attacks import DATA, PRIORITY, SETTINGS

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST = "/marketplace.catalog.v1.CatalogService/ListProducts"
SOON = 10.0
STREAMS = 128


async def status_of_a_call(gateway: RunningGateway) -> str:
    """How a call on a connection of its own ends."""
    raw = await Connection.open(gateway.port)
    try:
        return (await raw.end_of(raw.call(block(LIST)), SOON)).status
    finally:
        await raw.close()


async def read_until_closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed; a reset is one way to close it."""
    heard = b""
    async with asyncio.timeout(SOON):
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65_536):
                heard += part
    return heard


async def said(gateway: RunningGateway, *parts: bytes) -> bytes:
    """All that is answered to these bytes, sent one after the other, until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for part in parts:
        writer.write(part)
    try:
        return await read_until_closed(reader)
    finally:
        writer.close()


def reason(answer: bytes) -> tuple[str, str]:
    """Status and reason of an error by HTTP/1.1."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b" ")[1].decode(), json.loads(body)["details"][0]["reason"]


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda: frame(SETTINGS, 0, 0, b"") * 12_000, id="settings"),
        pytest.param(lambda: frame(HEADERS, 5, 1, block(LIST)) + frame(DATA, 0, 1, b"") * 9, id="data-after-the-end"),
        pytest.param(lambda: frame(HEADERS, 4, 1, block(LIST)) + frame(DATA, 0, 1, b"") * 9, id="empty-data"),
        pytest.param(lambda: frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 12_000, id="priorities"),
        pytest.param(
            lambda: frame(HEADERS, 0, 1, block(LIST)) + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 700) * 1_000,
            id="continuation",
        ),
        pytest.param(
            lambda: b"".join(
                frame(HEADERS, 4, number, block(LIST)) + frame(3, 0, number, b"\0\0\0\x08")
                for number in range(1, 2_000, 2)
            ),
            id="resets",
        ),
    ],
)
async def test_a_flood_ends_its_own_connection_and_no_other(
    gateway: RunningGateway, flood: Callable[[], bytes]
) -> None:
    raw = await Connection.open(gateway.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + flood())
    await read_until_closed(reader)
    writer.close()
    assert (await raw.end_of(raw.call(block(LIST)), SOON)).status == "0"
    await raw.close()


async def test_a_connection_has_no_more_streams_than_it_is_told(gateway: RunningGateway) -> None:
    raw = await Connection.open(gateway.port)
    first = raw.call(block(LIST))
    assert (await raw.end_of(first, SOON)).status == "0"
    assert raw.settings[3] == STREAMS
    calls = [raw.begin(block(LIST)) for _ in range(STREAMS + 20)]
    async with asyncio.timeout(SOON):
        while sum(raw.streams[call].ended.is_set() for call in calls) < 20:  # noqa: ASYNC110 - no event for a number
            await asyncio.sleep(0.01)
    await raw.close()
    assert await status_of_a_call(gateway) == "0"


async def test_headers_beyond_the_bound_are_refused(gateway: RunningGateway) -> None:
    line = b"GET /v1/products HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
    more = b"".join(b"x-%d: 1\r\n" % number for number in range(120))
    assert reason(await said(gateway, line, more, b"\r\n")) == ("431", "MALFORMED_REQUEST")
    raw = await Connection.open(gateway.port)
    extra = [(f"x-{number}", "x" * 3_000) for number in range(7)]
    stream = await raw.end_of(raw.call(block(LIST, extra)), SOON)
    assert stream.status != "0"
    await raw.close()


@pytest.mark.parametrize(
    ("path", "length"), [("/v1/cart/items", 1_048_577), ("/v1/cart/items", 10**12), ("/v1/media:upload", 10**8)]
)
async def test_a_body_beyond_the_bound_of_its_path_is_refused_before_it_is_read(
    gateway: RunningGateway, path: str, length: int
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head.encode())
    for _ in range(100):  # 6 MiB at most: it is refused on the way, or by its announced length
        writer.write(b" " * 65_536)
        await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        status = (await reader.read(12))[9:]
    writer.transport.abort()
    assert status == b"413"


async def test_nothing_compressed_is_unpacked(gateway: RunningGateway) -> None:
    bomb = gzip.compress(b" " * 4_000_000, 9)
    head = b"POST /v1/cart/items HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n"
    sized = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    assert reason(await said(gateway, head, sized, bomb)) == ("415", "MALFORMED_REQUEST")
    raw = await Connection.open(gateway.port)
    call = raw.begin(block(LIST, [("grpc-encoding", "gzip")]))
    raw.say(call, message(bomb, compressed=True))
    assert (await raw.end_of(call, SOON)).status == "12"
    await raw.close()


async def test_an_address_has_so_many_connections_and_leaves_the_others_theirs() -> None:
    most = 3
    with tempfile.TemporaryDirectory(prefix="mg-") as folder:
        away = Upstream(socket=Path(folder) / "nobody.sock")
        async with running(
            make_settings(), Path(folder), [away], serving=False, connections_of_address=most
        ) as gateway:
            held = [await ask_from(gateway, "127.0.0.1") for _ in range(most)]
            assert all(status == b"404" for status, _ in held)
            assert (await ask_from(gateway, "127.0.0.1"))[0] == b""
            # Of many addresses most are counted apart from the first.
            others = [await ask_from(gateway, f"127.0.0.{number}") for number in range(2, 18)]
            assert sum(status == b"404" for status, _ in others) >= 8
            held[0][1].close()
            async with asyncio.timeout(SOON):
                while (await ask_from(gateway, "127.0.0.1"))[0] != b"404":  # noqa: ASYNC110 - Envoy says nothing of it
                    await asyncio.sleep(0.05)
            for _, writer in (*held, *others):
                writer.close()


async def ask_from(gateway: RunningGateway, address: str) -> tuple[bytes, asyncio.StreamWriter]:
    """The status of a page that is missing, empty on a connection that is closed at once; the connection stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, local_addr=(address, 0))
    writer.write(b"GET /missing HTTP/1.1\r\nhost: a\r\n\r\n")
    async with asyncio.timeout(SOON):
        with contextlib.suppress(ConnectionError):
            return (await reader.read(12))[9:], writer
    return b"", writer
