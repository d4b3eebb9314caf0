"""kill -9 of the workers under watches of all orders: who comes back misses nothing and is told nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from itertools import pairwise
from typing import Final

import asyncpg
import pytest
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace_client import MarketplaceClient, watch_orders

from tests.faults.shopping import shoppers
from tests.worlds.faults import World
from tests.worlds.lines import Account
from tests.worlds.served import Served

pytestmark = [pytest.mark.faults, pytest.mark.alone, pytest.mark.timeout(180)]
_BOUND_SECONDS: Final = 60.0
"""Against hanging, on machines that are busy with other things."""


class _Watch:
    """What one watcher was told: of each order its versions, by etag, in the order in which they came."""

    def __init__(self) -> None:
        self.told: dict[str, list[str]] = defaultdict(list)
        self.states: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.first: set[str] = set()
        self.snapshots = 0
        self.opened = asyncio.Event()
        self.moved = asyncio.Event()

    async def run(self, world: World, account: Account) -> None:
        filters = order_service_pb2.WatchOrdersRequest(seller_ids=[world.seller_id])
        async with MarketplaceClient(f"127.0.0.1:{world.port}", access_token=account.token) as client:
            async for message in watch_orders(client, filters):
                self.take(message)

    def take(self, message: order_service_pb2.WatchOrdersResponse) -> None:
        kind = message.WhichOneof("event")
        assert kind != "reset"
        if kind == "snapshot":
            self.snapshots += 1
            self.first = {order.order_id for order in message.snapshot.orders}
            self.opened.set()
        elif kind in ("added", "changed", "removed"):
            change: order_service_pb2.OrderChange = getattr(message, kind)
            self.told[change.order.order_id].append(change.order.etag)
            self.states[change.order.order_id].append((change.previous_state, change.order.state))
            self.moved.set()


async def _kept(world: World) -> dict[str, int]:
    """How many steps each of the shop's orders has."""
    connection = await asyncpg.connect(world.database_url, timeout=5)
    try:
        rows = await connection.fetch(
            "SELECT order_id::text AS order_id, count(*) AS steps FROM order_events WHERE seller_id = $1::text::uuid"
            " GROUP BY 1",
            world.seller_id,
        )
        return {row["order_id"]: row["steps"] for row in rows}
    finally:
        await connection.close()


@pytest.mark.usefixtures("both_workers")
async def test_watches_of_all_orders_outlive_kills_of_both_workers(served: Served, world: World) -> None:
    watches = [_Watch() for _ in range(4)]
    tasks = [asyncio.create_task(watch.run(world, world.seller)) for watch in watches]
    admin = _Watch()
    tasks.append(asyncio.create_task(admin.run(world, world.admin)))
    watches.append(admin)
    try:
        async with asyncio.timeout(20):
            for watch in watches:
                await watch.opened.wait()
        before = await _kept(world)
        async with shoppers(world, 4, pause_seconds=0.2) as shopping:
            for _ in range(3):
                await shopping.lines.until_answered(40)
                # Both of them in turn, so every watch is cut off at least once.
                mark, [first, *_] = served.mark(), served.workers()
                os.kill(first.pid, signal.SIGKILL)
                await asyncio.to_thread(served.wait_for_worker, mark, _BOUND_SECONDS)
            await shopping.lines.until_answered(40)
        kept = {order_id: steps for order_id, steps in (await _kept(world)).items() if order_id not in before}
        assert len(kept) > 20
        for watch in watches:
            async with asyncio.timeout(30):
                while sum(len(watch.told[order_id]) for order_id in kept) < sum(kept.values()):
                    watch.moved.clear()
                    await watch.moved.wait()
            for order_id, steps in kept.items():
                assert len(watch.told[order_id]) == len(set(watch.told[order_id])) == steps, order_id
                for (_, state), (previous, _) in pairwise(watch.states[order_id]):
                    assert state == previous, order_id
                assert watch.states[order_id][0][1] == order_pb2.ORDER_STATE_PENDING_PAYMENT
            assert watch.snapshots == 1, "it went on, and did not begin anew"
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
