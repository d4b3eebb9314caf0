"""gRPC-Web as browsers speak it, by hand: frames, trailers and refusals through the gateway (T25)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping

import pytest
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # the wheel carries no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.delivery.v1 import delivery_service_pb2

from tests.worlds.gateway import ORIGIN, RunningGateway
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD, new_key
from tests.worlds.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")
Workers = tuple[Worker, Worker]
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
CATALOG = "/marketplace.catalog.v1.CatalogService"


def framed(message: bytes) -> bytes:
    """One message as gRPC frames it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The frames of a body: 0 and a message, or 128 and the trailers."""
    while body:
        length = int.from_bytes(body[1:5], "big")
        yield body[0], body[5 : 5 + length]
        body = body[5 + length :]


def trailers(text: bytes) -> dict[str, str]:
    """The trailers of their frame."""
    pairs = (line.split(":", 1) for line in text.decode().split("\r\n") if line)
    return {name.strip(): value.strip() for name, value in pairs}


def decoded(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body as bytes; of the text form each piece is base64 by itself."""
    if not headers["content-type"].startswith(TEXT):
        return body
    return b"".join(base64.b64decode(body[at : at + 4]) for at in range(0, len(body), 4))


async def call(
    gateway: RunningGateway, form: str, path: str, message: bytes, **headers: str
) -> tuple[Mapping[str, str], list[tuple[int, bytes]]]:
    """One call; the response's headers and its frames."""
    body = framed(message)
    sent = {"content-type": form, "accept": form, "x-grpc-web": "1", "origin": ORIGIN, **headers}
    status, got, answer = await gateway.fetch(path, base64.b64encode(body) if form == TEXT else body, headers=sent)
    assert status == 200
    assert got["content-type"].startswith(form)
    assert got["access-control-allow-origin"] == ORIGIN
    return got, list(frames(decoded(got, answer)))


@pytest.mark.parametrize("form", [BINARY, TEXT])
async def test_a_message_and_its_trailers_come_in_the_body(
    gateway: RunningGateway, workers: Workers, form: str
) -> None:
    request = catalog_service_pb2.ListProductsRequest(page_size=1)
    answered = await call(
        gateway, form, f"{CATALOG}/ListProducts", request.SerializeToString(), **{"x-request-id": "web:1"}
    )
    (kind, message), (last, ends) = answered[1]
    assert (kind, last) == (0, 128)
    assert catalog_service_pb2.ListProductsResponse.FromString(message).next_page_token == ""
    assert trailers(ends)["grpc-status"] == "0"
    assert trailers(ends)["x-request-id"] == "web:1"


@pytest.mark.parametrize("form", [BINARY, TEXT])
async def test_a_refusal_keeps_its_details(gateway: RunningGateway, workers: Workers, form: str) -> None:
    request = catalog_service_pb2.GetProductRequest(product_id=new_key())
    headers, parts = await call(gateway, form, f"{CATALOG}/GetProduct", request.SerializeToString())
    said = {**headers, **(trailers(parts[-1][1]) if parts else {})}
    assert said["grpc-status"] == "5"
    text = said["grpc-status-details-bin"]
    status, info = Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4))), ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "NOT_FOUND"


async def test_a_stream_comes_message_by_message(gateway: RunningGateway, workers: Workers) -> None:
    """Over HTTP/1.1, which is the least that a browser speaks."""
    admin = await workers[0].login(ADMIN_EMAIL, ADMIN_PASSWORD)
    courier = await workers[0].courier(admin)
    message = framed(delivery_service_pb2.WatchDeliveriesRequest().SerializeToString())
    head = (
        "POST /marketplace.delivery.v1.DeliveryService/WatchDeliveries HTTP/1.1\r\nhost: here\r\n"
        f"content-type: {BINARY}\r\ncontent-length: {len(message)}\r\n"
        f"authorization: Bearer {courier.tokens.access_token}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head.encode() + message)
    async with asyncio.timeout(10):
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        size = int(await reader.readuntil(b"\r\n"), 16)
        ((kind, first),) = frames(await reader.readexactly(size))
    assert kind == 0
    assert delivery_service_pb2.WatchDeliveriesResponse.FromString(first).WhichOneof("event") == "snapshot"
    writer.close()
