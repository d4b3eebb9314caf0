"""`marketd gateway` as a person starts it in front of a server that runs elsewhere."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

from marketplace.catalog.v1 import catalog_service_pb2
from marketplace_client import MarketplaceClient

from tests.worlds.faults import World
from tests.worlds.gateway import require_envoy
from tests.worlds.lines import Lines
from tests.worlds.served import Served


async def test_it_serves_in_front_of_another_server_and_leaves_in_order(served: Served, world: World) -> None:
    require_envoy()
    command = (sys.executable, "-m", "marketd", "gateway", "--port", "0", "--upstream", f"127.0.0.1:{served.port}")
    running = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "MARKETD_ENV": "test"}, stdout=asyncio.subprocess.PIPE
    )
    assert running.stdout is not None
    said = (await asyncio.wait_for(running.stdout.readline(), 60)).decode()
    found = re.search(r"Gateway on http://127\.0\.0\.1:(\d+) for 127\.0\.0\.1:(\d+)", said)
    assert found is not None, said
    assert int(found[2]) == served.port
    async with Lines(served.port, 1) as direct, MarketplaceClient(f"127.0.0.1:{found[1]}") as client:
        goods = await world.product(direct, 1)
        request = catalog_service_pb2.GetProductRequest(product_id=goods.product_id)
        answer = await client.catalog.GetProduct(request, timeout=30, wait_for_ready=True)
        assert answer.product.product_id == goods.product_id
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 30) == 0
