"""Attacks on the edge of a real server (T24): whoever calls honestly meanwhile is served, or told OVERLOADED.

The attacks come from processes of their own, from the very address that the honest callers have. The long form prints
its figures (`make faults ARGS="-k edge -s"`).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketplace.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from marketplace_client.errors import from_rpc_error

from tests.worlds.attacks import ATTACKS
from tests.worlds.raw_http2 import Connection
from tests.worlds.served import Served

pytestmark = [pytest.mark.usefixtures("both_workers", "world"), pytest.mark.alone]

MEMORY_MIB = 150
TIMES_SLOWER = 10
QUIET_MS = 20.0
"""A quiet 99th percentile below this is taken for this: on a shared machine a moment of the scheduler's is as long."""
_OPEN = ("marketd_rpc_in_flight", "marketd_streams_open", "marketd_rpc_arriving")
_REPOSITORY = Path(__file__).parents[2]


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


def resident_mib(served: Served) -> float:
    """What all workers have in memory."""
    texts = [Path(f"/proc/{worker.pid}/status").read_text() for worker in served.workers()]
    return sum(int(re.findall(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[0]) for text in texts) / 1024


def total(served: Served, *names: str) -> float:
    """The sum of these metrics over labels and workers."""
    pattern = re.compile(rf"^(?:{'|'.join(names)})(?:\{{.*\}})? (\S+)$", re.MULTILINE)
    return sum(float(value) for text in served.metrics().values() for value in pattern.findall(text))


async def attack(served: Served, name: str, seconds: float) -> tuple[dict[str, Any], Honest, float]:
    """The attack's own report, what honest callers met meanwhile, and how much memory the workers took at most."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.worlds.attacks",
        name,
        str(served.port),
        str(seconds),
        cwd=_REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    peak = resident_mib(served)

    async def look() -> None:
        nonlocal peak
        while True:
            peak = max(peak, await asyncio.to_thread(resident_mib, served))
            await asyncio.sleep(0.2)

    looking = asyncio.create_task(look())
    try:
        met = await honest(served.port, seconds)
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        looking.cancel()
        if process.returncode is None:
            process.kill()
    return json.loads(said), met, peak


def hold(served: Served, name: str, seconds: float) -> tuple[Honest, Honest, float, dict[str, Any]]:
    """Attack, and see that nobody pays who did nothing wrong, that memory is bounded and that every end was counted."""
    quiet = asyncio.run(honest(served.port, min(seconds / 2, 3.0)))
    before, counted = resident_mib(served), total(served, "marketd_rpc_total")
    report, met, peak = asyncio.run(attack(served, name, seconds))
    assert set(quiet.ends) == {"OK"}
    assert set(met.ends) <= {"OK", "UNAVAILABLE/OVERLOADED/retry"}, met.ends
    assert peak - before <= MEMORY_MIB, f"{before:.0f} -> {peak:.0f} MiB"
    # Every call that ended by a status of ours stands in the metrics. "12/" is the core's own: it refused to inflate.
    ended = sum(count for end, count in report["ends"].items() if end[0].isdecimal() and end != "12/")
    assert total(served, "marketd_rpc_total") - counted >= ended
    end = time.monotonic() + 20
    while (still := total(served, *_OPEN)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not still, "calls of an attack that is over are still open"
    assert set(asyncio.run(honest(served.port, 0.2)).ends) == {"OK"}
    return quiet, met, peak - before, report


def test_calls_that_never_send_their_message_cost_nobody_else(served: Served) -> None:
    _, met, _, _ = hold(served, "headers_only", 1.0)
    assert met.ends["OK"]


@pytest.mark.faults
def test_eight_thousand_calls_at_once_are_all_answered(served: Served) -> None:
    _, _, _, report = hold(served, "at_once", 0.5)
    assert report["begun"] == sum(report["ends"].values()) == 8_000
    assert set(report["ends"]) <= {"0/", "14/OVERLOADED+retry"}


@pytest.mark.faults
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_an_attack_on_the_edge_costs_nobody_else_for_long(
    served: Served, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, met, grown, report = hold(served, name, 10.0)
    before, during = quiet.percentile_ms(0.99), met.percentile_ms(0.99)
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this is run for
            f"\n{name}: {report['begun']} calls, {report['connections']} connections, ends {report['ends']}; honest: "
            f"p50 {quiet.percentile_ms(0.5):.1f} -> {met.percentile_ms(0.5):.1f} ms, p99 {before:.1f} -> {during:.1f} "
            f"ms ({during / before:.1f} x), {dict(met.ends)}; memory + {grown:.0f} MiB"
        )
    assert met.ends["OK"]
    assert during <= TIMES_SLOWER * max(before, QUIET_MS)


@pytest.mark.faults
def test_connections_that_ping_every_ten_seconds_stay(served: Served) -> None:
    """Eight of them, for as long as three early pings would need to cut one off."""
    assert not asyncio.run(_cut_off(served.port, connections=8, seconds=45, every=9.9))


async def _cut_off(port: int, *, connections: int, seconds: float, every: float) -> Sequence[bytes]:
    raws = [await Connection.open(port) for _ in range(connections)]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(every)
        for raw in raws:
            raw.ping()
    await asyncio.sleep(0.5)
    gone = [raw.goaway.additional_data if raw.goaway else b"" for raw in raws if raw.goaway or raw.closed.is_set()]
    for raw in raws:
        await raw.close()
    return gone
