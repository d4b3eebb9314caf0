"""The database is frozen, or its connections are all taken: calls end in time, health answers, and it passes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import grpc
import pytest
from google.protobuf.message import Message
from marketplace.cart.v1 import cart_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace_client import MarketplaceError

from tests.faults import books, health
from tests.worlds.faults import World
from tests.worlds.lines import Account, Lines, register
from tests.worlds.served import Served

pytestmark = [pytest.mark.usefixtures("both_workers"), pytest.mark.alone]

_LATE_SECONDS = 2.5
"""How much later than its deadline a call may end while the database is frozen."""
_SLACK_SECONDS = 1.0
"""For a machine that is busy with other things."""


@asynccontextmanager
async def frozen(served: Served) -> AsyncIterator[None]:
    """SIGSTOP for PostgreSQL and all its processes inside the block."""
    stopped = served.database_processes()
    try:
        for process in stopped:
            os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        for process in stopped:
            os.kill(process.pid, signal.SIGCONT)


async def refusal_of(
    lines: Lines, account: Account, request: Message, seconds: float | None = None
) -> tuple[float, MarketplaceError | None]:
    """How long the call took, and why it was refused, if it was."""
    begun = time.monotonic()
    refusal: MarketplaceError | None = None
    try:
        await lines.raw(account, request, seconds=seconds)
    except MarketplaceError as error:
        refusal = error
    return time.monotonic() - begun, refusal


async def timed(
    lines: Lines, account: Account, request: Message, seconds: float | None
) -> tuple[float, grpc.StatusCode]:
    """How long the call took and how it ended."""
    took, refusal = await refusal_of(lines, account, request, seconds)
    return took, grpc.StatusCode.OK if refusal is None else refusal.code


async def calls_end_in_time(lines: Lines, buyer: Account, seconds: float | None) -> None:
    """Reads and writes, on both workers, end with a status that says what it was."""
    begun = time.monotonic()
    requests = [
        cart_service_pb2.GetCartRequest(),
        order_service_pb2.ListOrdersRequest(),
        cart_service_pb2.ClearCartRequest(),
    ]
    ended = await asyncio.gather(*(timed(lines, buyer, request, seconds) for request in requests * 4))
    limit = (seconds or 5.0) + _LATE_SECONDS + _SLACK_SECONDS
    assert max(took for took, _ in ended) <= limit
    assert {code for _, code in ended} <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
    assert time.monotonic() - begun <= limit


async def nothing_is_left_open(world: World) -> None:
    """Every session of the workers is at rest (I6), and the data is sound."""
    busy = -1
    async with asyncio.timeout(10):
        while busy != 0:
            busy = await world.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'marketd' AND state <> 'idle'"
                " AND state_change < clock_timestamp() - interval '0.5 s'"
            )
    await books.assert_sound(world.database_url)


async def test_while_the_database_is_frozen_calls_end_in_time_and_health_says_so(served: Served, world: World) -> None:
    async with world.lines(8) as lines:
        buyer = await register(lines)
        channels = health.channels_of(lines, 8)
        await asyncio.gather(*(lines.call(buyer, cart_service_pb2.GetCartRequest()) for _ in range(16)))
        async with frozen(served):
            calls = asyncio.create_task(calls_end_in_time(lines, buyer, 1.0))
            await health.until_all(channels, health.NOT_SERVING, 6 + _SLACK_SECONDS)
            await calls
        await health.until_all(channels, health.SERVING, 2 + _SLACK_SECONDS)
        await lines.settled(buyer, cart_service_pb2.GetCartRequest())
        assert served.workers()
    await nothing_is_left_open(world)


@pytest.mark.faults
async def test_calls_without_a_deadline_get_the_servers_while_the_database_is_frozen(
    served: Served, world: World
) -> None:
    async with world.lines(8) as lines:
        buyer = await register(lines)
        await asyncio.gather(*(lines.call(buyer, cart_service_pb2.GetCartRequest()) for _ in range(16)))
        async with frozen(served):
            await calls_end_in_time(lines, buyer, None)
        await health.until_all(health.channels_of(lines, 8), health.SERVING, 2 + _SLACK_SECONDS)
        await lines.settled(buyer, cart_service_pb2.GetCartRequest())
    await nothing_is_left_open(world)


async def test_with_every_connection_taken_others_are_refused_at_once_and_health_does_not_care(
    served: Served, world: World
) -> None:
    # So many connections that a worker which holds less than two of them is not to be expected in a lifetime.
    async with world.lines(24) as lines:
        buyer = await register(lines)
        goods = await world.product(lines, 5)
        await asyncio.gather(*(lines.call(buyer, cart_service_pb2.GetCartRequest()) for _ in range(24)))
        channels = health.channels_of(lines, 8)
        group = await world.placed(lines, buyer, goods)
        stream = lines.watch(buyer, order_service_pb2.WatchOrderRequest(order_id=group.orders[0].order_id))
        first = await stream.read()
        assert isinstance(first, order_service_pb2.WatchOrderResponse)
        assert first.WhichOneof("event") == "snapshot"

        blocker = await asyncpg.connect(world.database_url)
        stock = inventory_service_pb2.GetStockRequest(variant_id=goods.variant_id)
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE stocks IN ACCESS EXCLUSIVE MODE")
            # Many times what a pool holds, however the connections are spread over the workers.
            held = [asyncio.create_task(timed(lines, world.seller, stock, 10)) for _ in range(320)]
            async with asyncio.timeout(5):
                waiting = 0
                while waiting < 38:
                    waiting = await blocker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
            bystanders = (refusal_of(lines, buyer, cart_service_pb2.GetCartRequest()) for _ in range(16))
            refusals, answers = await asyncio.gather(
                asyncio.gather(*bystanders), asyncio.gather(*(health.ask(channel) for channel in channels))
            )
        await blocker.close()
        assert set(answers) == {health.SERVING}
        assert any(refusal is not None for _, refusal in refusals)
        for took, refusal in refusals:
            assert took <= 1.1 + _SLACK_SECONDS
            assert refusal is None or (refusal.reason, refusal.code) == ("OVERLOADED", grpc.StatusCode.UNAVAILABLE)
            assert refusal is None or refusal.retry_after is not None
        ended = await asyncio.gather(*held)
        assert {code for _, code in ended} == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert max(took for took, code in ended if code is grpc.StatusCode.UNAVAILABLE) <= 1.1 + _SLACK_SECONDS
        await lines.call(buyer, cart_service_pb2.GetCartRequest())
        assert not stream.done(), "a stream holds no connection while it waits"
        stream.cancel()
    await nothing_is_left_open(world)
