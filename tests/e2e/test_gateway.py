"""One address in front of two workers: gRPC and JSON, and whom the workers take for the caller (T25)."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.auth.v1 import auth_service_pb2 as pb
from marketplace.auth.v1 import auth_service_pb2_grpc
from marketplace.delivery.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from marketplace_client.errors import from_rpc_error

from tests.worlds.gateway import RunningGateway
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import PASSWORD, Worker, bearer

pytestmark = pytest.mark.asyncio(loop_scope="session")
Workers = tuple[Worker, Worker]


async def addresses(worker: Worker, token: str) -> list[str]:
    """From where the account's sessions were opened, the newest first."""
    answer = await worker.auth.ListSessions(pb.ListSessionsRequest(), metadata=bearer(token))
    return [session.address for session in answer.sessions]


async def test_grpc_and_json_lead_to_the_workers(gateway: RunningGateway, workers: Workers) -> None:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        native = await stub.Check(health_pb2.HealthCheckRequest(), metadata=[("x-request-id", "mine-1")])
        assert native.status == health_pb2.HealthCheckResponse.SERVING
    status, headers, body = await gateway.fetch("/v1/products?page_size=1")
    assert (status, headers["content-type"], headers["server"]) == (200, "application/json", "marketd")
    assert json.loads(body)["nextPageToken"] == ""
    assert json.loads((await gateway.fetch("/healthz"))[2]) == {"status": "SERVING"}


async def test_a_callers_own_request_id_comes_back(gateway: RunningGateway, workers: Workers) -> None:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        call = stub.Check(health_pb2.HealthCheckRequest(), metadata=[("x-request-id", "checkout:42")])
        await call
        assert dict(await call.trailing_metadata())["x-request-id"] == "checkout:42"


@pytest.mark.parametrize("metadata", [[], [("x-forwarded-for", "203.0.113.9"), ("x-real-ip", "203.0.113.9")]])
async def test_the_caller_is_whom_the_gateway_sees_whatever_it_claims(
    gateway: RunningGateway, workers: Workers, metadata: list[tuple[str, str]]
) -> None:
    person = await workers[0].register()
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        await stub.Login(pb.LoginRequest(login=person.email, password=PASSWORD), metadata=metadata)
    assert (await addresses(workers[1], person.tokens.access_token))[0] == "127.0.0.1"


async def test_on_the_gateways_socket_the_last_hop_counts_and_on_the_port_none(
    gateway: RunningGateway, workers: Workers
) -> None:
    """What only the gateway can do; a call to the port that says the same is taken for whoever it is."""
    person = await workers[0].register()
    login = pb.LoginRequest(login=person.email, password=PASSWORD)
    told = [("x-forwarded-for", "198.51.100.1, 203.0.113.9")]
    async with grpc.aio.insecure_channel(f"unix:{gateway.folder / '0.sock'}") as channel:
        stub: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
        await stub.Login(login, metadata=told)
    assert (await addresses(workers[0], person.tokens.access_token))[0] == "203.0.113.9"
    await workers[0].auth.Login(login, metadata=told)
    assert (await addresses(workers[0], person.tokens.access_token))[0] == "127.0.0.1"


async def test_the_socket_is_its_owners_alone(gateway: RunningGateway) -> None:
    for path in (gateway.folder / "0.sock", gateway.folder / "1.sock", gateway.admin):
        assert path.stat().st_mode & 0o077 == 0


async def test_headers_for_envoy_from_outside_do_nothing(gateway: RunningGateway, workers: Workers) -> None:
    """Its own time-outs and retries are for services inside a mesh: here they would cut calls or repeat them."""
    tricks = {
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-upstream-rq-per-try-timeout-ms": "1",
        "x-envoy-upstream-alt-stat-name": "made-up",
        "x-envoy-max-retries": "5",
        "x-envoy-retry-on": "5xx,gateway-error,retriable-4xx",
        "x-envoy-original-path": "/forged",
        "x-envoy-force-trace": "1",
    }
    answers = [await gateway.fetch("/v1/products", headers={name: value}) for name, value in tricks.items()]
    assert [status for status, _, _ in answers] == [200] * len(tricks)
    assert not any(name.startswith("x-envoy") for _, headers, _ in answers for name in headers)
    assert not [line for line in gateway.log() if "/forged" in line]


async def test_an_unknown_method_and_a_refusal_keep_their_details(gateway: RunningGateway, workers: Workers) -> None:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        unknown: Any = channel.unary_unary("/marketplace.cart.v1.CartService/Nothing")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unknown(b"")
        assert from_rpc_error(refused.value).reason == "METHOD_UNKNOWN"
    status, headers, body = await gateway.fetch("/v1/carts/nothing", {"a": 1}, headers={"authorization": "Bearer x"})
    assert (status, headers["content-type"]) == (404, "application/json")
    assert json.loads(body)["details"][0]["reason"] == "NOT_FOUND"


async def test_the_access_log_has_neither_queries_nor_tokens(gateway: RunningGateway, workers: Workers) -> None:
    token = "a-token-that-nobody-may-see"
    await gateway.fetch(f"/v1/brands?page_token={token}", headers={"authorization": f"Bearer {token}"})
    line = await _logged(gateway, '"path":"/v1/brands"')
    assert {"ms", "sent", "protocol", "timestamp"} <= line.keys()
    assert (line["address"], line["method"], line["status"], line["grpc_status"]) == ("127.0.0.1", "GET", 401, 16)
    assert line["rpc"] == "/marketplace.catalog.v1.CatalogService/ListBrands"
    assert token not in "".join(gateway.log())


async def _logged(gateway: RunningGateway, part: str) -> dict[str, Any]:
    """The last line of the access log with this in it; Envoy writes them out now and then."""
    end = time.monotonic() + 15
    while True:
        found = [line for line in gateway.log() if part in line]
        if found:
            line: dict[str, Any] = json.loads(found[-1])
            return line
        assert time.monotonic() < end, gateway.log()[-5:]
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_a_watch_outlives_what_ends_other_calls(gateway: RunningGateway, workers: Workers) -> None:
    """Envoy ends calls after 15 s by default, and the gateway of the tests those on which nothing moves for 15 s."""
    admin = await workers[0].login(ADMIN_EMAIL, ADMIN_PASSWORD)
    courier = await workers[0].courier(admin)
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub: Any = delivery_service_pb2_grpc.DeliveryServiceStub(channel)
        watch = stub.WatchDeliveries(delivery_service_pb2.WatchDeliveriesRequest(), metadata=courier.metadata)
        begun, beats = time.monotonic(), 0
        async for message in watch:
            beats += message.WhichOneof("event") == "heartbeat"
            if beats == 2 and time.monotonic() - begun > 20:
                break
            assert beats < 3
        watch.cancel()
