"""One address in front of two workers: gRPC, gRPC-Web and JSON, and whom the workers take for the caller."""

from __future__ import annotations

import json

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.worlds.gateway import RunningGateway
from tests.worlds.workers import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_all_three_ways_lead_to_the_workers(gateway: RunningGateway, workers: tuple[Worker, Worker]) -> None:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        native = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())  # type: ignore[no-untyped-call]
        assert native.status == health_pb2.HealthCheckResponse.SERVING
    status, headers, body = await gateway.fetch("/v1/products?page_size=1")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["nextPageToken"] == ""
    status, headers, body = await gateway.fetch(
        "/grpc.health.v1.Health/Check",
        b"\0\0\0\0\0",
        headers={"content-type": "application/grpc-web+proto"},
    )
    assert (status, headers["content-type"]) == (200, "application/grpc-web+proto")
    assert b"grpc-status:0" in body
