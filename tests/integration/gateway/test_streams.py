"""Streams by REST: lines of JSON as they come, an error as status or as the last line, and bytes as they are."""

from __future__ import annotations

import asyncio
import http.client
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from marketd.transport.last_words import STREAM_ERRORS, error_message
from marketplace.order.v1.order_service_pb2 import WatchOrderResponse

from tests.worlds.echo import INFO, fail, rich

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="session")

WATCH = "/marketplace.order.v1.OrderService/WatchOrder"
DOWNLOAD = "/marketplace.media.v1.MediaService/DownloadMedia"
NOT_FOUND = rich(5, "There is no such order.", INFO)


class Reader:
    """A client that reads line by line, in another thread than the server behind the gateway."""

    def __init__(self, rest: Rest, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", rest.gateway.port, timeout=10)
        self._path, self._headers = path, headers

    async def open(self) -> http.client.HTTPResponse:
        def ask() -> http.client.HTTPResponse:
            self._connection.request("GET", self._path, headers=self._headers)
            return self._connection.getresponse()

        self._answer = await asyncio.to_thread(ask)
        return self._answer

    async def line(self) -> Any:
        """The next line that is not empty; None at the end."""
        while raw := await asyncio.to_thread(self._answer.readline):
            if raw.strip():
                return json.loads(raw)
        return None

    def close(self) -> None:
        self._connection.close()


async def test_each_answer_is_a_line_when_it_is_written(rest: Rest) -> None:
    heard = asyncio.Event()

    async def watch(request: Any, context: Any) -> Any:
        await context.send_initial_metadata((("x-request-id", "7"),))
        yield WatchOrderResponse(resume_token="one")
        await heard.wait()
        yield WatchOrderResponse(resume_token="two")

    rest.echo.on[WATCH] = watch
    reader = Reader(rest, "/v1/orders/7:watch")
    answer = await reader.open()
    assert (answer.status, answer.getheader("content-type")) == (200, "application/x-ndjson")
    assert answer.getheader("x-request-id") == "7"
    assert (await reader.line())["resumeToken"] == "one"
    heard.set()
    assert (await reader.line())["resumeToken"] == "two"
    assert await reader.line() is None
    reader.close()


async def test_a_packed_stream_brings_each_line_at_once_too(rest: Rest) -> None:
    left = asyncio.Event()

    async def watch(request: Any, context: Any) -> Any:
        yield WatchOrderResponse(resume_token="one" * 1000)
        await left.wait()

    rest.echo.on[WATCH] = watch
    reader = Reader(rest, "/v1/orders/7:watch", **{"accept-encoding": "gzip"})
    answer = await reader.open()
    assert answer.getheader("content-encoding") == "gzip"
    unpack, text = zlib.decompressobj(wbits=31), b""
    while b"oneone" not in text:
        text += unpack.decompress(await asyncio.to_thread(answer.read1))
    left.set()
    reader.close()


async def test_an_error_before_the_first_answer_is_the_status(rest: Rest) -> None:
    async def watch(request: Any, context: Any) -> Any:
        await fail(context, NOT_FOUND, ("x-request-id", "7"))
        yield

    rest.echo.on[WATCH] = watch
    status, headers, body = await rest.gateway.fetch("/v1/orders/7:watch")
    assert (status, headers["content-type"], headers["x-request-id"]) == (404, "application/json", "7")
    assert json.loads(body)["details"][0]["reason"] == "NOT_FOUND"


@pytest.mark.parametrize("answers", [0, 2])
async def test_an_error_later_is_the_last_line(rest: Rest, answers: int) -> None:
    async def watch(request: Any, context: Any) -> Any:
        assert dict(context.invocation_metadata())[STREAM_ERRORS] == "message"
        await context.send_initial_metadata(())
        for number in range(answers):
            yield WatchOrderResponse(resume_token=str(number))
        yield error_message(NOT_FOUND.SerializeToString())
        await fail(context, NOT_FOUND)

    rest.echo.on[WATCH] = watch
    status, _, body = await rest.gateway.fetch("/v1/orders/7:watch")
    *lines, last = [json.loads(line) for line in body.splitlines() if line.strip()]
    assert (status, len(lines)) == (200, answers)
    assert last["error"]["code"] == 5
    assert last["error"]["details"][0]["reason"] == "NOT_FOUND"
    assert not any("error" in line for line in lines)


async def test_a_file_comes_as_its_bytes_with_its_type(rest: Rest) -> None:
    async def download(request: Any, context: Any) -> Any:
        for part in (b"RIFF\0", b"\n\n", b"\xff" * 100_000):
            yield HttpBody(content_type="image/webp", data=part)

    rest.echo.on[DOWNLOAD] = download
    status, headers, body = await rest.gateway.fetch("/v1/media/7:download?rendition=full&offset=0")
    assert (status, headers["content-type"]) == (200, "image/webp")
    assert body == b"RIFF\0\n\n" + b"\xff" * 100_000


async def test_who_leaves_ends_the_stream_at_the_server(rest: Rest) -> None:
    left = asyncio.Event()

    async def watch(request: Any, context: Any) -> Any:
        try:
            yield WatchOrderResponse(resume_token="one")
            await asyncio.Event().wait()
        finally:
            left.set()

    rest.echo.on[WATCH] = watch
    reader = Reader(rest, "/v1/orders/7:watch")
    await reader.open()
    await reader.line()
    reader.close()
    await asyncio.wait_for(left.wait(), 10)
