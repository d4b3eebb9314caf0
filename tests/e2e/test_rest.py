"""REST in front of the real server: keys that are repeated, refusals, watches that are resumed and ended, files."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import urllib.parse
from typing import Any

import pytest
from marketplace.auth.v1 import auth_service_pb2

from tests.worlds import pictures
from tests.worlds.gateway import ORIGIN, RunningGateway
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import Person, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADDRESS = {
    "label": "Home",
    "postalAddress": {"recipient": "Ada", "lines": ["Torstr. 1"], "city": "Berlin", "regionCode": "DE"},
}


def of(person: Person, **more: str) -> dict[str, str]:
    """The headers of the person's calls."""
    return {"authorization": f"Bearer {person.tokens.access_token}", **more}


def details(body: bytes) -> dict[str, Any]:
    """The details of an error by their short names."""
    return {one["@type"].rpartition(".")[2]: one for one in json.loads(body)["details"]}


async def test_a_repeated_key_gets_the_first_answer(gateway: RunningGateway, workers: tuple[Worker, Worker]) -> None:
    ada, bob = await workers[0].register(), await workers[0].register()
    answers = [
        await gateway.fetch("/v1/addresses", ADDRESS, headers=of(ada, **{"idempotency-key": "home 1"}))
        for _ in range(3)
    ]
    assert [status for status, _, _ in answers] == [200] * 3, answers
    assert len({body for _, _, body in answers}) == 1
    assert [headers.get("replayed") for _, headers, _ in answers] == [None, "true", "true"]
    assert len({headers["x-request-id"] for _, headers, _ in answers}) == 3
    other = {**ADDRESS, "label": "Work"}
    status, _, body = await gateway.fetch("/v1/addresses", other, headers=of(ada, **{"idempotency-key": "home 1"}))
    assert (status, details(body)["ErrorInfo"]["reason"]) == (400, "REQUEST_ID_REUSED")
    status, headers, _ = await gateway.fetch("/v1/addresses", other, headers=of(bob, **{"idempotency-key": "home 1"}))
    assert (status, headers.get("replayed")) == (200, None)


async def test_refusals_keep_reason_and_field_paths(gateway: RunningGateway, workers: tuple[Worker, Worker]) -> None:
    ada = await workers[0].register()
    status, headers, body = await gateway.fetch("/v1/orders", headers={"x-request-id": "mine-1"})
    assert (status, details(body)["ErrorInfo"]["reason"]) == (401, "UNAUTHENTICATED")
    assert (headers["x-request-id"], headers["www-authenticate"]) == ("mine-1", "Bearer")
    status, _, body = await gateway.fetch("/v1/cart/items", {"variantId": "x", "quantity": 1}, headers=of(ada))
    assert (status, details(body)["ErrorInfo"]["reason"]) == (400, "VALIDATION_FAILED")
    assert [one["field"] for one in details(body)["BadRequest"]["fieldViolations"]] == ["variant_id"]
    _, _, body = await gateway.fetch("/v1/addresses", ADDRESS, headers=of(ada))
    path = f"/v1/addresses/{json.loads(body)['address']['addressId']}"
    stale = {"etag": "stale", "label": "Work"}
    status, _, body = await gateway.fetch(path, stale, method="PATCH", headers=of(ada))
    assert (status, details(body)["ErrorInfo"]["reason"]) == (409, "ETAG_MISMATCH")
    current = details(body)["ErrorInfo"]["metadata"]["etag"]
    status, _, body = await gateway.fetch(f"{path}?etag={current}", method="DELETE", headers=of(ada))
    assert (status, json.loads(body)) == (200, {})
    status, _, body = await gateway.fetch(path, headers=of(ada))
    assert (status, details(body)["ErrorInfo"]["reason"]) == (404, "NOT_FOUND")


class Watch:
    """A stream of lines, read in another thread than the workers'."""

    def __init__(self, gateway: RunningGateway, path: str, person: Person) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        self._path, self._headers = path, of(person)

    async def open(self) -> http.client.HTTPResponse:
        """The answer's head."""

        def ask() -> http.client.HTTPResponse:
            self._connection.request("GET", self._path, headers=self._headers)
            return self._connection.getresponse()

        self._answer = await asyncio.to_thread(ask)
        return self._answer

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    async def line(self) -> Any:
        """The next line that is not empty; None at the end."""
        while raw := await asyncio.to_thread(self._answer.readline):
            if raw.strip():
                return json.loads(raw)
        return None


async def test_a_watch_is_resumed_by_its_token_and_says_why_it_ends(
    gateway: RunningGateway, workers: tuple[Worker, Worker]
) -> None:
    rider = await workers[0].courier(await workers[0].login(ADMIN_EMAIL, ADMIN_PASSWORD))
    first = Watch(gateway, "/v1/deliveries:watch", rider)
    head = await first.open()
    assert (head.status, head.getheader("content-type")) == (200, "application/x-ndjson")
    assert head.getheader("x-request-id")
    snapshot = await first.line()
    assert "snapshot" in snapshot
    token = urllib.parse.quote(snapshot["resumeToken"], safe="")
    resumed = Watch(gateway, f"/v1/deliveries:watch?resumeToken={token}", rider)
    assert (await resumed.open()).status == 200
    await workers[1].auth.Logout(auth_service_pb2.LogoutRequest(), metadata=rider.metadata)
    for watch in (first, resumed):
        last = await watch.line()
        assert last["error"]["code"] == 16, last
        assert last["error"]["details"][0]["reason"] == "SESSION_REVOKED"
        assert "snapshot" not in last
        assert await watch.line() is None
    status, headers, body = await gateway.fetch("/v1/deliveries:watch", headers=of(rider))
    assert (status, details(body)["ErrorInfo"]["reason"]) == (401, "SESSION_REVOKED")
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.faults  # it waits for heartbeats
async def test_a_watch_outlives_its_silence_by_heartbeats(
    gateway: RunningGateway, workers: tuple[Worker, Worker]
) -> None:
    rider = await workers[0].courier(await workers[0].login(ADMIN_EMAIL, ADMIN_PASSWORD))
    watch = Watch(gateway, "/v1/deliveries:watch", rider)
    await watch.open()
    assert "snapshot" in await watch.line()
    for _ in range(2):  # the gateway of the tests ends what is idle for 15 s
        assert "serverTime" in (await watch.line())["heartbeat"]
    watch.close()


async def test_a_page_of_a_known_origin_may_use_all_of_it(gateway: RunningGateway) -> None:
    asks = {"access-control-request-method": "PATCH", "access-control-request-headers": "idempotency-key"}
    status, headers, _ = await gateway.fetch("/v1/addresses/7", method="OPTIONS", headers={"origin": ORIGIN, **asks})
    assert (status, headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "PATCH" in headers["access-control-allow-methods"]
    assert "idempotency-key" in headers["access-control-allow-headers"]
    status, headers, _ = await gateway.fetch("/v1/orders", headers={"origin": ORIGIN})
    assert (status, headers["access-control-allow-origin"]) == (401, ORIGIN)
    assert {"x-request-id", "retry-after", "replayed"} <= set(headers["access-control-expose-headers"].split(", "))
    _, headers, _ = await gateway.fetch("/v1/orders", headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in headers


async def test_a_picture_goes_up_in_json_and_comes_down_as_itself(
    gateway: RunningGateway, workers: tuple[Worker, Worker]
) -> None:
    ada = await workers[0].register()
    image = base64.b64encode(pictures.unlike(11)).decode()
    sent = {"purpose": "MEDIA_PURPOSE_PRODUCT", "image": image}
    status, _, body = await gateway.fetch("/v1/media", sent, headers=of(ada))
    assert status == 200, body
    media = json.loads(body)["media"]
    thumb = next(one for one in media["renditions"] if one["name"] == "thumb")
    path = f"/v1/media/{media['mediaId']}:download?rendition=thumb"
    status, headers, body = await gateway.fetch(path, headers=of(ada))
    assert (status, headers["content-type"], len(body)) == (200, "image/webp", int(thumb["size"]))
    assert (body[:4], body[8:12]) == (b"RIFF", b"WEBP")
    status, again, nothing = await gateway.fetch(f"{path}&ifNoneMatch={headers['etag'].strip(chr(34))}")
    assert (status, again["etag"], nothing) == (304, headers["etag"], b"")
    status, _, part = await gateway.fetch(f"{path}&offset=8&length=4", headers=of(ada))
    assert (status, part) == (200, b"WEBP")
    status, _, body = await gateway.fetch(f"{path}&offset=99999999", headers=of(ada))
    assert (status, details(body)["ErrorInfo"]["reason"]) == (400, "VALIDATION_FAILED")
