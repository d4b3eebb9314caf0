"""What the gateway costs: the same calls straight to a worker and through Envoy, in turn on one server.

The server is compared with itself: what a call costs its worker must not depend on the way that it came. Envoy's own
processor time stands beside it. All ways are driven at one pace (gateway_calls.py), and what both processes use at rest
is measured first and taken off.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from rich.console import Group
from rich.table import Table
from rich.text import Text

from marketd.bench import cpu, gateway_calls, h2load
from marketd.bench.clients import LoadClients, LoadFailed, load_clients
from marketd.bench.gateway_calls import Call, Way
from marketd.bench.h2load import SameCall
from marketd.bench.measure import TOO_NOISY_PERCENT, percentile
from marketd.bench.operations import Round
from marketd.bench.report import machine
from marketd.bench.servers import Running, complaints, run_command, settings_environment, start_server
from marketd.bench.world import World
from marketd.embedded import EmbeddedPostgres

ROUNDS, QUICK_ROUNDS = 5, 1
_SECONDS, _QUICK_SECONDS = 2.0, 0.15
_WARM_UP_SHARE = 0.3
_REST_SECONDS, _QUICK_REST_SECONDS = 5.0, 0.5
_LOAD_PROCESSES = 2
AT_MOST = 1.1
"""The most that a call may cost a worker through the gateway as gRPC, as a multiple of what it costs straight."""


@dataclass(frozen=True, slots=True)
class WayFigures:
    """One way of a call in a round, or the medians of its rounds. Processor times are a call's."""

    rps: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    envoy_cpu_us: float


@dataclass(frozen=True, slots=True)
class CallMeasured:
    """A call's medians by way. `noise_percent`: how far the rounds of the direct way lie apart in server time."""

    name: str
    ways: Mapping[Way, WayFigures]
    noise_percent: float | None

    def ratio(self, way: Way) -> float:
        """What a call costs its worker on this way, as a multiple of the direct one."""
        direct = self.ways[Way.DIRECT].server_cpu_us
        return self.ways[way].server_cpu_us / direct if direct else 0.0


@dataclass(frozen=True, slots=True)
class GatewayMeasured:
    """All calls."""

    calls: Sequence[CallMeasured]
    rounds: int
    quick: bool

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "machine": machine(),
            "noise": {"trusted": self._trusted(), "message": self._noise_sentence()},
            "rounds": self.rounds,
            "operations": [
                {
                    "name": call.name,
                    "target": AT_MOST,
                    "meets_target": call.ratio(Way.GRPC) <= AT_MOST,
                    "noise_percent": None if call.noise_percent is None else round(call.noise_percent, 1),
                    "ways": {
                        way.value: {
                            "rps": round(figures.rps, 1),
                            "p50_ms": round(figures.p50_ms, 3),
                            "p99_ms": round(figures.p99_ms, 3),
                            "server_cpu_us": round(figures.server_cpu_us, 1),
                            "envoy_cpu_us": round(figures.envoy_cpu_us, 1),
                            "ratio": round(call.ratio(way), 3),
                        }
                        for way, figures in call.ways.items()
                    },
                }
                for call in self.calls
            ],
        }

    def to_table(self) -> Group:
        """For a terminal: a line for each way of each call."""
        table = Table(box=None, padding=(0, 1, 0, 0))
        for column in ("operation", "way"):
            table.add_column(column, no_wrap=True)
        for column in ("calls/s", "p50/p99\nms", "server\nµs", "Envoy\nµs", "ratio"):
            table.add_column(column, justify="right", no_wrap=True)
        for call in self.calls:
            for way, figures in call.ways.items():
                table.add_row(
                    call.name if way is Way.DIRECT else "",
                    way.value,
                    f"{figures.rps:,.0f}",
                    f"{figures.p50_ms:.1f}/{figures.p99_ms:.1f}",
                    f"{figures.server_cpu_us:.0f}",
                    f"{figures.envoy_cpu_us:.0f}" if way is not Way.DIRECT else "-",
                    f"{call.ratio(way):.2f}" + ("" if way is not Way.GRPC else _mark(call)),
                )
        legend = (
            "Server and Envoy: processor time of a call. Ratio: the server's, as a multiple of the direct way's; "
            f"at most {AT_MOST:g} as gRPC."
        )
        return Group(
            table, Text(""), Text(legend), Text(self._noise_sentence(), style="" if self._trusted() else "bold")
        )

    def _trusted(self) -> bool:
        return not self.quick and not self._noisy()

    def _noisy(self) -> list[str]:
        return [
            call.name for call in self.calls if call.noise_percent is None or call.noise_percent > TOO_NOISY_PERCENT
        ]

    def _noise_sentence(self) -> str:
        if self.quick:
            return "A quick run shows that everything works; its rounds are too short for figures to trust."
        if not self._noisy():
            return f"The rounds of the direct way lie within {TOO_NOISY_PERCENT:.0f} % of each other."
        known = ", ".join(f"{call.name} {call.noise_percent or 0:.0f} %" for call in self.calls)
        return (
            f"Noisy: rounds of the direct way lie apart by {known}. Ways take turns, so medians of many rounds still "
            "compare; run it again on a quiet machine, with more --rounds."
        )


def _mark(call: CallMeasured) -> str:
    return " ✓" if call.ratio(Way.GRPC) <= AT_MOST else " ✗"


def run(rounds: int | None, progress: Callable[[str], None], *, quick: bool) -> GatewayMeasured:
    """Measure it with a server and a gateway of its own, which are gone afterwards.

    Raises ServerFailed, LoadFailed, RuntimeError and grpc's errors.
    """
    size = Round(_QUICK_SECONDS if quick else _SECONDS, quick)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="marketd-bench-")))
        folder.chmod(0o755)  # PostgreSQL may have to run as another user than root
        progress("starting the server and its gateway")
        first = start_server("server", folder, {"MARKETD_GATEWAY_PORT": "0"}, ["--gateway"])
        stack.callback(first.stop)
        server = first.wait()
        target, envoy = server.gateway()
        postgres = EmbeddedPostgres(folder / "data" / "postgres")
        postgres.start()  # attaches to the server's
        stack.callback(postgres.stop)
        measuring = _Measuring(server, target, envoy, size, rounds or (QUICK_ROUNDS if quick else ROUNDS), progress)
        try:
            return asyncio.run(measuring.run(postgres.dsn(), folder))
        except Exception:
            for line in complaints(folder):
                progress(line)
            raise


@dataclass(frozen=True, slots=True)
class _Measuring:
    server: Running
    gateway: str
    envoy: int
    size: Round
    rounds: int
    progress: Callable[[str], None]
    resting: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Processor seconds a second of the worker and of Envoy, without calls."""

    async def run(self, dsn: str, folder: Path) -> GatewayMeasured:
        """Seed the marketplace, then all calls, each in all its ways."""
        async with grpc.aio.insecure_channel(self.server.target) as channel, load_clients(_LOAD_PROCESSES) as clients:
            world = World(channel, dsn)
            environment = settings_environment(folder, {"MARKETD_DATABASE_URL": dsn})
            run_command(
                ["create-admin", "--email", world.admin_email, "--password-stdin"], environment, world.password + "\n"
            )
            self.progress("preparing shops, products and carts")
            self.progress("looking what the server and Envoy use at rest")
            await self._rest()
            measured = [await self._measure(world, call, clients) async for call in gateway_calls.calls(world)]
        return GatewayMeasured(measured, self.rounds, self.size.quick)

    async def _rest(self) -> None:
        used, begun = self._used(), time.monotonic()
        await asyncio.sleep(_QUICK_REST_SECONDS if self.size.quick else _REST_SECONDS)
        seconds = time.monotonic() - begun
        self.resting[:] = [(now - then) / seconds for now, then in zip(self._used(), used, strict=True)]

    def _used(self) -> tuple[float, float]:
        """The processor time of the worker and of Envoy so far, in seconds."""
        return cpu.seconds_of(self.server.pids), cpu.seconds_of([self.envoy])

    async def _measure(self, world: World, call: Call, clients: LoadClients) -> CallMeasured:
        ways = list(Way)
        for way in ways if not self.size.quick else ():
            self.progress(f"{call.name}: warming up {way}")
            await self._round(world, call, way, clients, Round(self.size.seconds * _WARM_UP_SHARE, self.size.quick))
        found: dict[Way, list[WayFigures]] = {way: [] for way in ways}
        for number in range(self.rounds):
            turn = number % len(ways)
            for way in (*ways[turn:], *ways[:turn]):
                self.progress(f"{call.name}: round {number + 1} of {self.rounds}, {way}")
                found[way].append(await self._round(world, call, way, clients, self.size))
        direct = [each.server_cpu_us for each in found[Way.DIRECT]]
        noise = (max(direct) - min(direct)) / median(direct) * 100 if len(direct) > 1 else None
        return CallMeasured(call.name, {way: _medians(figures) for way, figures in found.items()}, noise)

    async def _round(self, world: World, call: Call, way: Way, clients: LoadClients, size: Round) -> WayFigures:
        if call.fills_carts:
            await gateway_calls.begin_carts(world)
        load = await call.load(way, self.server.target, self.gateway, size, clients.count)
        before: list[float] = []

        def begin() -> None:
            before[:] = [*self._used(), time.monotonic()]

        try:
            found = await (h2load.run(load, begin) if isinstance(load, SameCall) else clients.run(load, begin))
        except LoadFailed as failure:
            raise LoadFailed(f"{call.name} as {way}: {failure}") from None
        seconds = time.monotonic() - before[2]
        server, envoy = (
            max(0.0, now - then - rest * seconds)
            for now, then, rest in zip(self._used(), before[:2], self.resting, strict=True)
        )
        latencies = sorted(found.latencies_us)
        return WayFigures(
            rps=found.count / found.seconds,
            p50_ms=percentile(latencies, 50) / 1000,
            p99_ms=percentile(latencies, 99) / 1000,
            server_cpu_us=server * 1e6 / found.count,
            envoy_cpu_us=envoy * 1e6 / found.count,
        )


def _medians(figures: Sequence[WayFigures]) -> WayFigures:
    return WayFigures(
        rps=median(each.rps for each in figures),
        p50_ms=median(each.p50_ms for each in figures),
        p99_ms=median(each.p99_ms for each in figures),
        server_cpu_us=median(each.server_cpu_us for each in figures),
        envoy_cpu_us=median(each.envoy_cpu_us for each in figures),
    )
