"""The gateway's own faults: Envoy killed, workers killed behind it, and a server that leaves with it (T25)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from marketplace.cart.v1 import cart_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError, watch_order
from marketplace_client.errors import from_rpc_error

from tests.worlds.faults import Variant, World
from tests.worlds.gateway import require_envoy
from tests.worlds.lines import Account, Lines, register
from tests.worlds.processes import Process
from tests.worlds.served import Served
from tests.worlds.things import new_key, payment

BACK_SECONDS: Final = 20.0
"""Against hanging; it takes about a second."""
_BACK = re.compile(r"The gateway serves again on \S+ .*process (\d+)")
_OF_ORDER = [order_pb2.ORDER_STATE_PENDING_PAYMENT, order_pb2.ORDER_STATE_PAID, order_pb2.ORDER_STATE_ACCEPTED]


@pytest.fixture(autouse=True)
def _with_envoy(both_workers: None) -> None:
    require_envoy()


def envoy_of(served: Served) -> Process:
    """The gateway's process."""
    return next(process for process in served.tree() if "envoy.json" in process.command)


async def kill_envoy(served: Served) -> None:
    """kill -9, and wait until its successor serves."""
    mark, before = served.mark(), envoy_of(served)
    os.kill(before.pid, signal.SIGKILL)
    await asyncio.to_thread(served.wait_for, _BACK, since=mark, seconds=BACK_SECONDS)
    assert envoy_of(served).pid != before.pid


async def kill_workers(served: Served) -> None:
    """kill -9 of one after the other, so that the stream's is among them."""
    for worker in served.workers():
        mark = served.mark()
        os.kill(worker.pid, signal.SIGKILL)
        await asyncio.to_thread(served.wait_for_worker, mark)


async def states_of(client: MarketplaceClient, order_id: str, seen: list[int]) -> None:
    """The order's states as a watch of the client's brings them, each once; until it is accepted."""
    watch: AsyncIterator[Any] = watch_order(client, order_id, give_up_after=60)
    async with aclosing(watch) as messages:  # type: ignore[type-var]
        async for message in messages:
            kind = message.WhichOneof("event")
            if kind in {"snapshot", "changed"}:
                state = getattr(message, kind).order.state
                if seen[-1:] != [state]:
                    seen.append(state)
            if seen[-1:] == _OF_ORDER[-1:]:
                return


@pytest.mark.faults
async def test_an_envoy_that_hangs_is_replaced(served: Served) -> None:
    mark, before = served.mark(), envoy_of(served)
    os.kill(before.pid, signal.SIGSTOP)
    await asyncio.to_thread(served.wait_for, _BACK, since=mark, seconds=BACK_SECONDS)
    assert f"The gateway (process {before.pid}) hangs" in served.words()
    async with Lines(served.gateway_port) as lines:
        await register(lines)


async def test_a_watch_outlives_a_killed_envoy_and_killed_workers(served: Served, world: World) -> None:
    async with Lines(served.port) as lines:
        goods = await world.product(lines, 10)
        buyer = await register(lines)
        group = await world.placed(lines, buyer, goods)
        order_id = group.orders[0].order_id
        seen: list[int] = []
        async with MarketplaceClient(f"127.0.0.1:{served.gateway_port}", access_token=buyer.token) as client:
            watching = asyncio.create_task(states_of(client, order_id, seen))
            await _until(lambda: seen == _OF_ORDER[:1])
            await kill_envoy(served)
            await lines.settled(buyer, payment(group))
            await _until(lambda: seen == _OF_ORDER[:2])
            await kill_workers(served)
            accept = order_service_pb2.AcceptOrderRequest(order_id=order_id, prep_duration=Duration(seconds=60))
            await lines.settled(world.seller, accept)
            async with asyncio.timeout(30):
                await watching
    assert seen == _OF_ORDER


async def test_a_killed_worker_is_left_alone_until_it_serves_again(served: Served, world: World) -> None:
    """The other one takes the calls: what was not begun goes there, and reads that were are asked again by clients."""
    async with Lines(served.gateway_port, 2) as lines:
        buyer = await register(lines)
        mark, failed = served.mark(), 0
        os.kill(served.workers()[0].pid, signal.SIGKILL)
        back = asyncio.create_task(asyncio.to_thread(served.wait_for_worker, mark))
        while not back.done():
            try:
                await lines.call(buyer, cart_service_pb2.GetCartRequest())
            except MarketplaceError as error:
                if not error.was_dropped:
                    raise
                failed += 1
            await asyncio.sleep(0.02)
        await back
    # Those that were in the worker's hands when it died; none was sent to it afterwards.
    assert failed <= 2


async def _read_on(watch: Any) -> None:
    while await watch.read() is not grpc.aio.EOF:
        pass


async def _until(holds: Any) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - a list that a task fills
            await asyncio.sleep(0.02)


async def calls(lines: Lines, buyer: Account, goods: Variant, stop: asyncio.Event) -> int:
    """Writes until told to stop; how many succeeded, each with one repeat at most."""
    made = 0
    while not stop.is_set():
        add = cart_service_pb2.AddCartItemRequest(request_id=new_key(), variant_id=goods.variant_id, quantity=1)
        try:
            await lines.raw(buyer, add)
        except MarketplaceError as error:
            if not error.was_dropped:
                raise
            await asyncio.sleep(error.retry_after or 0.05)
            await lines.raw(buyer, add, wait_for_ready=True)
        made += 1
        await asyncio.sleep(0.05)
    return made


@pytest.mark.faults
async def test_workers_that_leave_fail_no_call_through_the_gateway(served: Served, world: World) -> None:
    async with Lines(served.gateway_port, 4) as lines:
        goods = await world.product(lines, 1000)
        buyers = [await register(lines) for _ in range(4)]
        stop = asyncio.Event()
        work = [asyncio.create_task(calls(lines, buyer, goods, stop)) for buyer in buyers]
        for worker in served.workers():
            mark = served.mark()
            os.kill(worker.pid, signal.SIGTERM)
            await asyncio.to_thread(served.wait_for_worker, mark)
        stop.set()
        assert all(made > 0 for made in await asyncio.gather(*work))


@pytest.mark.faults
async def test_the_gateway_leaves_with_the_server_and_comes_back_with_it(served: Served, world: World) -> None:
    """A watch is told to go by the worker, since the gateway stays until the workers are gone; then it goes itself."""
    async with Lines(served.gateway_port, 2) as lines:
        goods = await world.product(lines, 10)
        buyer = await register(lines)
        group = await world.placed(lines, buyer, goods)
        order_id = group.orders[0].order_id
        watch = lines.watch(buyer, order_service_pb2.WatchOrderRequest(order_id=order_id))
        first: Any = await watch.read()
        assert first.WhichOneof("event") == "snapshot"
        envoy, port = envoy_of(served), served.gateway_port
        await asyncio.to_thread(served.stop)
        try:
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await _read_on(watch)
            assert from_rpc_error(told.value).reason == "DRAINING"
            assert not envoy.is_alive()
        finally:
            await asyncio.to_thread(served.start)
        assert served.gateway_port == port


@pytest.mark.faults
async def test_a_watch_outlives_a_minute(served: Served, world: World) -> None:
    async with Lines(served.gateway_port, 1) as lines:
        goods = await world.product(lines, 10)
        buyer = await register(lines)
        group = await world.placed(lines, buyer, goods)
        watch = lines.watch(buyer, order_service_pb2.WatchOrderRequest(order_id=group.orders[0].order_id))
        begun = time.monotonic()
        async for _ in watch:
            if time.monotonic() - begun > 65:
                break
        else:
            pytest.fail("the watch ended by itself")
        watch.cancel()
