"""Callers who do nothing wrong while others attack, and what they met; see attacks.py for those."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from marketplace.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from marketplace_client.errors import from_rpc_error

QUIET_MS: Final = 20.0
"""A quiet 99th percentile below this is taken for this: on a shared machine a moment of the scheduler's is as long."""
_REPOSITORY: Final = Path(__file__).parents[2]


@dataclass
class Honest:
    """What callers met who did nothing wrong."""

    seconds: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    def percentile_ms(self, part: float) -> float:
        """The latency that so great a part of the calls did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000

    async def call(self, channel: grpc.aio.Channel, until: float) -> None:
        """Ask for a page of products, again and again."""
        stub: Any = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        while time.monotonic() < until:
            begun = time.monotonic()
            try:
                await stub.ListProducts(catalog_service_pb2.ListProductsRequest(page_size=20), timeout=15)
                end = "OK"
            except grpc.aio.AioRpcError as error:
                known = from_rpc_error(error)
                end = f"{error.code().name}/{known.reason}/{'retry' if known.retry_after else 'never'}"
            self.seconds.append(time.monotonic() - begun)
            self.ends[end] += 1
            await asyncio.sleep(0.002)


async def honest(port: int, seconds: float) -> Honest:
    """Four callers for so long, each on a connection of its own."""
    found, until = Honest(), time.monotonic() + seconds
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(4)]
    await asyncio.gather(*(found.call(channel, until) for channel in channels))
    await asyncio.gather(*(channel.close() for channel in channels))
    return found


def resident_mib(pids: Iterable[int]) -> float:
    """What these processes have in memory."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(re.findall(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[0]) for text in texts) / 1024


async def attack(
    port: int, name: str, seconds: float, memory: Callable[[], float], module: str = "tests.worlds.attacks"
) -> tuple[dict[str, Any], Honest, float]:
    """The attack's own report, what honest callers met meanwhile, and the most that `memory` said (in MiB)."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, name, str(port), str(seconds)), cwd=_REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    peak = memory()

    async def look() -> None:
        nonlocal peak
        while True:
            peak = max(peak, await asyncio.to_thread(memory))
            await asyncio.sleep(0.2)

    looking = asyncio.create_task(look())
    try:
        met = await honest(port, seconds)
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        looking.cancel()
        if process.returncode is None:
            process.kill()
    return json.loads(said), met, peak
