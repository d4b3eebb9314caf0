"""Attacks on the gateway of a real server (T24): whoever calls honestly through it meanwhile is served.

It prints its figures (`make faults ARGS="-k gateway_bounds -s"`). Attacks of one kind go on at the same time.
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
CALLS_AT_ONCE_MIB = 256
"""Of 8,000 calls in flight at once; each takes Envoy some 22 KiB."""
TIMES_SLOWER = 10
CASES = {
    "waiting": ("idle,silent,slow_headers,slow_bodies", 4.0),
    "without a message": ("headers_only", 3.0),
    "sudden connections": ("thousands", 4.0),
    "sudden calls": ("at_once", 8.0),
    "not reading files": ("unread_files", 3.0),
    "not reading calls": ("window_zero", 3.0),
    "floods": ("rapid_reset,settings_flood,empty_data,priorities", 3.0),
    "headers without end": ("continuation", 3.0),
    "too much": ("huge_bodies,json_bombs,big_metadata", 3.0),
}


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


def test_cases_name_attacks_that_there_are() -> None:
    named = {name for names, _ in CASES.values() for name in names.split(",")}
    assert named <= {*ATTACKS, *WEB_ATTACKS}
    assert set(WEB_ATTACKS) - named == {"unread_pages"}  # more work than what is left undone can show


@pytest.mark.parametrize("case", CASES)
def test_an_attack_on_the_gateway_costs_nobody_else_for_long(
    behind: Served, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names, seconds = CASES[case]

    def workers() -> float:
        return resident_mib(worker.pid for worker in behind.workers())

    def envoy() -> float:
        return resident_mib([behind.gateway_pid])

    port, workers_peak = behind.gateway_port, 0.0

    def memory() -> float:
        nonlocal workers_peak
        workers_peak = max(workers_peak, workers())
        return envoy()

    quiet = asyncio.run(honest(port, 1.0))
    pid, before, workers_before = behind.gateway_pid, envoy(), workers()
    report, met, peak = asyncio.run(attack(port, names, seconds, memory, "tests.worlds.web_attacks"))
    p99, during = quiet.percentile_ms(0.99), met.percentile_ms(0.99)
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this is run for
            f"\n{case}: {report['begun']} begun, ends {report['ends']}; honest: p50 {quiet.percentile_ms(0.5):.1f} -> "
            f"{met.percentile_ms(0.5):.1f} ms, p99 {p99:.1f} -> {during:.1f} ms ({during / p99:.1f} x), "
            f"{dict(met.ends)}; Envoy {before:.0f} + {peak - before:.0f} MiB, workers + "
            f"{workers_peak - workers_before:.0f} MiB"
        )
    assert behind.gateway_pid == pid, "Envoy was started again"
    assert set(quiet.ends) == {"OK"}
    assert set(met.ends) <= {"OK", "UNAVAILABLE/OVERLOADED/retry"}, met.ends
    assert met.ends["OK"]
    assert during <= TIMES_SLOWER * max(p99, QUIET_MS)
    assert peak - before <= (CALLS_AT_ONCE_MIB if case == "sudden calls" else MEMORY_MIB)
    assert workers_peak - workers_before <= MEMORY_MIB
    end = time.monotonic() + 20
    while set(asyncio.run(honest(port, 0.2)).ends) != {"OK"}:
        assert time.monotonic() < end, "honest callers are not served any more"
