"""Attacks on the gateway of a real server (T24): whoever calls honestly through it meanwhile is served.

The long form prints its figures (`make faults ARGS="-k gateway_bounds -s"`).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.attacks import ATTACKS
from tests.worlds.faults import World
from tests.worlds.gateway import require_envoy
from tests.worlds.honest import QUIET_MS, attack, honest, resident_mib
from tests.worlds.pages import make_pages
from tests.worlds.served import Served
from tests.worlds.web_attacks import WEB_ATTACKS

pytestmark = [pytest.mark.faults, pytest.mark.alone]

MEMORY_MIB = 150
TIMES_SLOWER = 10
SECONDS = 5.0


@pytest.fixture(scope="module")
def behind() -> Iterator[Served]:
    """Two workers behind a gateway, with products."""
    require_envoy()
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        Path(folder).chmod(0o755)
        pages = make_pages(Path(folder))
        settings = {"MARKETD_GATEWAY_STATIC": str(pages), "MARKETD_GATEWAY_CONNECTIONS_OF_ADDRESS": "2500"}
        server = Served(Path(folder), gateway=True, settings=settings)
        try:
            server.start()
            server.create_admin()
            asyncio.run(World.build(server.port, server.database_url))
            yield server
        finally:
            server.stop()
            server.look()
            server.forget()


@pytest.mark.parametrize("name", sorted({**ATTACKS, **WEB_ATTACKS}))
def test_an_attack_on_the_gateway_costs_nobody_else_for_long(
    behind: Served, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def workers() -> float:
        return resident_mib(worker.pid for worker in behind.workers())

    def envoy() -> float:
        return resident_mib([behind.gateway_pid])

    port, workers_peak = behind.gateway_port, 0.0

    def memory() -> float:
        nonlocal workers_peak
        workers_peak = max(workers_peak, workers())
        return envoy()

    quiet = asyncio.run(honest(port, 2.0))
    pid, before, workers_before = behind.gateway_pid, envoy(), workers()
    report, met, peak = asyncio.run(attack(port, name, SECONDS, memory, "tests.worlds.web_attacks"))
    p99, during = quiet.percentile_ms(0.99), met.percentile_ms(0.99)
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this is run for
            f"\n{name}: {report['begun']} begun, ends {report['ends']}; honest: p50 {quiet.percentile_ms(0.5):.1f} -> "
            f"{met.percentile_ms(0.5):.1f} ms, p99 {p99:.1f} -> {during:.1f} ms ({during / p99:.1f} x), "
            f"{dict(met.ends)}; Envoy {before:.0f} + {peak - before:.0f} MiB, workers + "
            f"{workers_peak - workers_before:.0f} MiB"
        )
    assert behind.gateway_pid == pid, "Envoy was started again"
    assert set(quiet.ends) == {"OK"}
    assert set(met.ends) <= {"OK", "UNAVAILABLE/OVERLOADED/retry"}, met.ends
    assert met.ends["OK"]
    assert during <= TIMES_SLOWER * max(p99, QUIET_MS)
    assert peak - before <= MEMORY_MIB
    assert workers_peak - workers_before <= MEMORY_MIB
    end = time.monotonic() + 20
    while set(asyncio.run(honest(port, 0.2)).ends) != {"OK"}:
        assert time.monotonic() < end, "honest callers are not served any more"
