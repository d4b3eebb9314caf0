"""Attacks on the edge of a real server (T24): whoever calls honestly meanwhile is served, or told OVERLOADED.

The attacks come from processes of their own, from the very address that the honest callers have. The long form prints
its figures (`make faults ARGS="-k edge -s"`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.worlds.attacks import ATTACKS
from tests.worlds.honest import QUIET_MS, Honest, attack, honest, resident_mib
from tests.worlds.raw_http2 import Connection
from tests.worlds.served import Served

pytestmark = pytest.mark.usefixtures("both_workers", "world")

MEMORY_MIB = 150
TIMES_SLOWER = 10
_OPEN = ("marketd_rpc_in_flight", "marketd_streams_open", "marketd_rpc_arriving")


def total(served: Served, *names: str) -> float:
    """The sum of these metrics over labels and workers."""
    pattern = re.compile(rf"^(?:{'|'.join(names)})(?:\{{.*\}})? (\S+)$", re.MULTILINE)
    return sum(float(value) for text in served.metrics().values() for value in pattern.findall(text))


def hold(served: Served, name: str, seconds: float) -> tuple[Honest, Honest, float, dict[str, Any]]:
    """Attack, and see that nobody pays who did nothing wrong, that memory is bounded and that every end was counted."""
    quiet = asyncio.run(honest(served.port, min(seconds / 2, 1.5)))

    def memory() -> float:
        return resident_mib(worker.pid for worker in served.workers())

    before, counted = memory(), total(served, "marketd_rpc_total")
    report, met, peak = asyncio.run(attack(served.port, name, seconds, memory))
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
    _, met, _, _ = hold(served, "headers_at_once", 1.0)
    assert met.ends["OK"]


@pytest.mark.faults
@pytest.mark.alone
def test_eight_thousand_calls_at_once_are_all_answered(served: Served) -> None:
    _, _, _, report = hold(served, "at_once", 0.5)
    assert report["begun"] == sum(report["ends"].values()) == 8_000
    assert set(report["ends"]) <= {"0/", "14/OVERLOADED+retry"}


@pytest.mark.faults
@pytest.mark.alone
@pytest.mark.parametrize("name", sorted(ATTACKS.keys() - {"headers_at_once"}))  # in the short form
def test_an_attack_on_the_edge_costs_nobody_else_for_long(
    served: Served, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, met, grown, report = hold(served, name, 6.0)
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
