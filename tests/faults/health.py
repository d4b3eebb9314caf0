"""What health says, on many connections at once so that every worker is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2

from tests.worlds.lines import Lines

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def ask(channel: grpc.aio.Channel, seconds: float = 2.0) -> int:
    """One answer. Raises when there is none in time."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    answer: health_pb2.HealthCheckResponse = await check(health_pb2.HealthCheckRequest(), timeout=seconds)
    return answer.status


async def until_all(channels: Sequence[grpc.aio.Channel], wanted: int, seconds: float) -> float:
    """Ask all again and again until each gives the wanted answer; how long that took."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        answers = await asyncio.gather(*(ask(channel) for channel in channels))
        if set(answers) == {wanted}:
            return time.monotonic() - begun
        await asyncio.sleep(0.05)
    raise AssertionError(f"health says {answers} after {seconds} s")


def channels_of(lines: Lines, count: int) -> list[grpc.aio.Channel]:
    """`count` connections of theirs."""
    return [lines.next() for _ in range(count)]
