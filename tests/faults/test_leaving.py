"""Callers that go away and workers that are replaced: nothing stays open, and nobody else notices."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from marketplace.cart.v1 import cart_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2
from marketplace_client import MarketplaceError
from marketplace_client.errors import from_rpc_error

from tests.faults import books
from tests.worlds.faults import Variant, World
from tests.worlds.lines import Account, Lines, register
from tests.worlds.served import Served
from tests.worlds.things import new_key, payment

pytestmark = pytest.mark.usefixtures("both_workers")

_STREAM_ENDS = frozenset({"DRAINING", ""})
_OPEN = ("marketd_rpc_in_flight", "marketd_streams_open")
# Buyers at full speed would take the processor that the new workers start with.
_BETWEEN_SECONDS = 0.2


def gauge(text: str, name: str) -> float:
    """The value of a metric without labels."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def with_one_retry(lines: Lines, account: Account, request: Message) -> None:
    """A call as a modest client makes it: one repeat, after the pause that the server asks for.

    A call that reaches a leaving server after the last one that it refused, and before the client hears that it leaves,
    is CANCELLED by gRPC itself.
    """
    try:
        await lines.raw(account, request)
    except MarketplaceError as error:
        if not error.was_dropped:
            raise
        await asyncio.sleep(error.retry_after or 0)
        await lines.raw(account, request, wait_for_ready=True)


async def call_on(lines: Lines, buyer: Account, goods: Variant, stop: asyncio.Event) -> int:
    """Reads and writes until told to stop; how many succeeded. Raises at the first that fails twice."""
    made = 0
    while not stop.is_set():
        add = cart_service_pb2.AddCartItemRequest(request_id=new_key(), variant_id=goods.variant_id, quantity=1)
        await with_one_retry(lines, buyer, add)
        await with_one_retry(lines, buyer, cart_service_pb2.GetCartRequest())
        await with_one_retry(lines, buyer, cart_service_pb2.ClearCartRequest())
        made += 3
        await asyncio.sleep(_BETWEEN_SECONDS)
    return made


async def follow(lines: Lines, buyer: Account, order_id: str, last: int, breaks: list[str]) -> list[int]:
    """Watch the order through every end of the stream until it comes to the state `last`; the states in turn."""
    states: list[int] = []
    cursor = ""
    while not states or states[-1] != last:
        stream = lines.watch(buyer, order_service_pb2.WatchOrderRequest(order_id=order_id, resume_token=cursor))
        try:
            async for message in stream:
                cursor = message.resume_token or cursor
                kind = message.WhichOneof("event")
                if kind in {"snapshot", "changed"}:
                    state = getattr(message, kind).order.state
                    if not states or states[-1] != state:
                        states.append(state)
                    if state == last:
                        return states
        except grpc.aio.AioRpcError as raised:
            error = from_rpc_error(raised)
            assert (error.code, error.reason in _STREAM_ENDS) == (grpc.StatusCode.UNAVAILABLE, True), error
            breaks.append(error.reason)
            await asyncio.sleep(error.retry_after or 0.05)
    return states


async def test_a_rolling_restart_under_load_fails_no_call_that_is_repeated_once_and_streams_resume(
    served: Served, world: World
) -> None:
    stop = asyncio.Event()
    breaks: list[str] = []
    async with world.lines(12) as lines:
        goods = await world.product(lines, 1000)
        buyers = [await register(lines) for _ in range(8)]
        group = await world.placed(lines, buyers[0], goods)
        order_id = group.orders[0].order_id
        async with asyncio.TaskGroup() as work:
            loads = [work.create_task(call_on(lines, buyer, goods, stop)) for buyer in buyers[1:]]
            watch = work.create_task(follow(lines, buyers[0], order_id, order_pb2.ORDER_STATE_ACCEPTED, breaks))
            for worker in served.workers():
                mark = served.mark()
                os.kill(worker.pid, signal.SIGTERM)
                await asyncio.to_thread(served.wait_for_worker, mark)
                assert worker.pid not in {each.pid for each in served.workers()}
            answered = await lines.settled(buyers[0], payment(group))
            assert answered.payment.state == payment_pb2.PAYMENT_STATE_CAPTURED
            await lines.settled(
                world.seller,
                order_service_pb2.AcceptOrderRequest(order_id=order_id, prep_duration=Duration(seconds=60)),
            )
            states = await watch
            stop.set()
        assert all(load.result() > 0 for load in loads)
    assert states == [
        order_pb2.ORDER_STATE_PENDING_PAYMENT,
        order_pb2.ORDER_STATE_PAID,
        order_pb2.ORDER_STATE_ACCEPTED,
    ]
    assert breaks, "both workers were replaced, so the stream was cut at least once"
    await books.assert_sound(world.database_url)


async def abandon(lines: Lines, buyers: list[Account], goods: Variant, calls: int, order_id: str) -> None:
    """`calls` calls and as many streams, each cancelled at some moment of its life."""
    chance = random.Random(6)  # noqa: S311 - the same moments in every run
    gate = asyncio.Semaphore(64)

    async def one_call(buyer: Account, pause: float) -> None:
        add = cart_service_pb2.AddCartItemRequest(request_id=new_key(), variant_id=goods.variant_id, quantity=1)
        async with gate:
            call = asyncio.ensure_future(lines.raw(buyer, add))
            await asyncio.wait((call,), timeout=pause)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def one_stream(pause: float) -> None:
        async with gate:
            stream = lines.watch(buyers[0], order_service_pb2.WatchOrderRequest(order_id=order_id))
            reading = asyncio.ensure_future(stream.read())
            await asyncio.wait((reading,), timeout=pause)
            stream.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    work = [one_call(buyers[number % len(buyers)], chance.uniform(0, 0.02)) for number in range(calls)]
    work += [one_stream(chance.uniform(0, 0.02)) for _ in range(calls)]
    await asyncio.gather(*work)


async def nothing_is_open(served: Served, world: World) -> None:
    """No call, no stream, no transaction of the cancelled ones is left on any worker."""
    async with asyncio.timeout(10):
        while True:
            texts = (await asyncio.to_thread(served.metrics)).values()
            left = sum(
                gauge(text, name) for text in texts for name in ("marketd_rpc_in_flight", "marketd_streams_open")
            )
            if left == 0:
                break
            await asyncio.sleep(0.05)
    held = await world.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'marketd'"
        " AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 s'"
    )
    assert held == 0


async def every_pool_is_whole(lines: Lines, buyer: Account) -> None:
    """More calls at once than would pass if connections had stayed behind."""
    await asyncio.gather(*(lines.call(buyer, cart_service_pb2.GetCartRequest()) for _ in range(200)))


async def test_cancelled_calls_and_streams_leave_nothing_open(served: Served, world: World) -> None:
    async with world.lines(8) as lines:
        goods = await world.product(lines, 1000)
        buyers = [await register(lines) for _ in range(8)]
        order_id = (await world.placed(lines, buyers[0], goods)).orders[0].order_id
        await abandon(lines, buyers, goods, 200, order_id)
        await nothing_is_open(served, world)
        await every_pool_is_whole(lines, buyers[1])
    await books.assert_sound(world.database_url)


@pytest.mark.faults
@pytest.mark.timeout(240)
async def test_15000_cancelled_calls_and_15000_cancelled_streams_cost_no_memory(served: Served, world: World) -> None:
    async with world.lines(8) as lines:
        goods = await world.product(lines, 1000)
        buyers = [await register(lines) for _ in range(8)]
        order_id = (await world.placed(lines, buyers[0], goods)).orders[0].order_id
        # Memory is flat after the warm-up: pools, caches and arenas have then grown to what they need. What the next
        # collection will find comes and goes (some 10 MiB over six rounds, seen over fifteen), so the lowest of more
        # later rounds than that counts against the highest before.
        before = [await resident(served, world, lines, buyers, goods, 1000, order_id) for _ in range(3)]
        after = [await resident(served, world, lines, buyers, goods, 1000, order_id) for _ in range(12)]
        await every_pool_is_whole(lines, buyers[1])
    for pid in before[0]:
        grown = min(each[pid] for each in after) - max(each[pid] for each in before)
        assert grown <= 2 * 1024 * 1024, f"{grown / 1024:.0f} KiB"
    await books.assert_sound(world.database_url)


async def resident(
    served: Served, world: World, lines: Lines, buyers: list[Account], goods: Variant, calls: int, order_id: str
) -> dict[int, float]:
    """The memory of each worker after as many calls and streams more."""
    await abandon(lines, buyers, goods, calls, order_id)
    await nothing_is_open(served, world)
    texts = await asyncio.to_thread(served.metrics)
    return {pid: gauge(text, "process_resident_memory_bytes") for pid, text in texts.items()}
