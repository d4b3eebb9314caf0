"""What the OpenAPI document says holds: calls that schemathesis makes up from it, and its page."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from marketd.gateway.files import services
from marketd.gateway.openapi.document import written

from tests.worlds.gateway import RunningGateway
from tests.worlds.rest_calls import RestCalls
from tests.worlds.rest_people import People
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANCE = 20_261_130
LEAST_ANSWERED = 30
"""So many of the methods are to be answered with more than an error, or the test shows little."""


async def test_a_made_up_call_of_each_method_is_answered_as_documented(gateway: RunningGateway) -> None:
    document = json.loads(written(services()))
    calls = RestCalls(gateway.url, document, People(gateway.url, ADMIN_EMAIL, ADMIN_PASSWORD), CHANCE)
    await asyncio.to_thread(calls.run, calls.unary, 1)
    assert calls.findings == {}
    assert calls.statuses.total() == len(calls.unary) > 120
    assert len(calls.answered) >= LEAST_ANSWERED


async def test_the_document_and_its_page_are_served(gateway: RunningGateway) -> None:
    status, headers, body = await gateway.fetch("/openapi.json", headers={"accept-encoding": "gzip"})
    assert (status, headers["content-type"], headers["content-encoding"]) == (200, "application/json", "gzip")
    assert gzip.decompress(body) == written(services())
    assert len(body) < 200_000
    for path, kind in (("/docs/", "text/html"), ("/docs/page.css", "text/css"), ("/docs/rapidoc-min.js", "text/javas")):
        status, headers, body = await gateway.fetch(path)
        assert (status, headers["content-type"].startswith(kind)) == (200, True)
        assert "connect-src 'self'" in headers["content-security-policy"]
        assert int(headers["content-length"]) == len(body) > 100
    status, _, body = await gateway.fetch("/docs/")
    assert b'spec-url="../openapi.json"' in body
    assert (await gateway.fetch("/docs"))[2] == body  # by way of a redirect
    assert (await gateway.fetch("/docs/missing.js"))[0] == 404
    assert (await gateway.fetch("/openapi.json", b"{}", method="POST"))[0] in (404, 405)


@pytest.mark.parametrize(
    "name", ["x-trace%id", "x~y", "Some'Header", "grpc-timeout", "grpc-encoding", "x-trace-bin", "grpc-tags-bin"]
)
async def test_headers_that_grpc_does_not_take_end_no_call(
    gateway: RunningGateway, workers: tuple[Worker, Worker], name: str
) -> None:
    status, _, body = await gateway.fetch("/v1/serverInfo", headers={name: "not @ base64"})
    assert (status, "serverInfo" in json.loads(body)) == (200, True)


async def test_what_the_gateway_lets_through_the_workers_take(gateway: RunningGateway) -> None:
    """Near the bound the workers' core would refuse with a list of the headers."""
    for size, wanted in ((11_800, 400), (13_000, 431)):
        status, _, body = await gateway.fetch(f"/v1/brands?orderBy={'a' * size}")
        assert (status, json.loads(body)["details"][0]["domain"]) == (wanted, "marketplace.dev")
    many = {f"x-{number}": "a" * 110 for number in range(85)}
    assert (await gateway.fetch("/v1/serverInfo", headers=many))[0] == 200
