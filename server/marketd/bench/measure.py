"""One operation's rounds: the server and its floors in turn, each round with its figures, and what they amount to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from marketd.bench import backlog, cpu, h2load
from marketd.bench.backlog import Backlog
from marketd.bench.clients import LoadClients, LoadFailed
from marketd.bench.h2load import SameCall
from marketd.bench.operations import DEFAULT, SERVER, TUNED, Operation, Round, Side
from marketd.bench.work import Found
from marketd.bench.world import World

TOO_NOISY_PERCENT = 10.0

_WARM_UP_SHARE = 0.3
_SETTLE_SECONDS = 3.0
_QUIET_SECONDS = 0.1
# Timers and pollers use a little of it all the time.
_RESTING_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Figures:
    """What one side did in a round, or the medians of its rounds. Processor times are a call's.

    Latencies are 0 where nobody waits for the single call.
    """

    rps: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    postgres_cpu_us: float


@dataclass(frozen=True, slots=True)
class Measured:
    """An operation's medians; `noise_percent` is how far the tuned floor's rounds lie apart, None with one round."""

    operation: Operation
    rounds: int
    calls: int
    sides: Mapping[str, Figures]
    noise_percent: float | None

    @property
    def ratio(self) -> float:
        """The server's processor time as a multiple of the tuned floor's."""
        return self._over(TUNED)

    @property
    def ratio_default(self) -> float:
        """The same of the default floor's."""
        return self._over(DEFAULT)

    @property
    def meets_target(self) -> bool | None:
        """Whether no bound is exceeded; None where there is none."""
        target = self.operation.target
        if target is None:
            return None
        return 0 < self.ratio <= target.tuned and (target.default is None or self.ratio_default <= target.default)

    def _over(self, floor: str) -> float:
        floor_us = self.sides[floor].server_cpu_us
        return self.sides[SERVER].server_cpu_us / floor_us if floor_us else 0.0


async def measure(
    operation: Operation,
    world: World,
    sides: Sequence[Side],
    clients: LoadClients,
    postmaster_pid: int,
    size: Round,
    rounds: int,
    progress: Callable[[str], None],
) -> Measured:
    """Warm every side up, then run the rounds, in another order each time. Raises LoadFailed and Mismatch.

    A quick run claims nothing, so it warms nothing up.
    """
    await operation.begin(world)

    async def one(side: Side, this: Round) -> tuple[Found, Figures]:
        try:
            return await _round(operation, world, side, clients, postmaster_pid, this)
        except LoadFailed as failure:
            raise LoadFailed(f"{operation.name} on {side.name}: {failure}") from None

    for side in sides if not size.quick else ():
        progress(f"{operation.name}: warming up {side.name}")
        await one(side, Round(size.seconds * _WARM_UP_SHARE, size.quick))
    results: dict[str, list[Figures]] = {side.name: [] for side in sides}
    calls = 0
    for number in range(rounds):
        turn = number % len(sides)
        for side in (*sides[turn:], *sides[:turn]):
            progress(f"{operation.name}: round {number + 1} of {rounds}, {side.name}")
            found, figures = await one(side, size)
            results[side.name].append(figures)
            calls += found.count if not side.is_floor else 0
    await operation.verify(world)
    middle = {name: medians(figures) for name, figures in results.items()}
    return Measured(operation, rounds, calls, middle, _spread([each.server_cpu_us for each in results[TUNED]]))


async def _round(
    operation: Operation, world: World, side: Side, clients: LoadClients, postmaster_pid: int, size: Round
) -> tuple[Found, Figures]:
    load = await operation.load(world, side, size, clients.count)
    before: list[float] = []

    def begin() -> None:
        before[:] = [cpu.seconds_of(side.pids), cpu.postgres_seconds(postmaster_pid)]

    if isinstance(load, SameCall):
        found = await h2load.run(load, begin)
    elif isinstance(load, Backlog):
        found = await backlog.run(load, begin)
    else:
        found = await clients.run(load, begin)
    if operation.settles and not side.is_floor:
        await _settle(side.pids)
    server = cpu.seconds_of(side.pids) - before[0]
    postgres = cpu.postgres_seconds(postmaster_pid) - before[1]
    operation.absorb(side, found)
    return found, figures_of(found, server, postgres)


def figures_of(found: Found, server_seconds: float, postgres_seconds: float) -> Figures:
    """A round's figures, of what was found and the processor time that went into it."""
    latencies = sorted(found.latencies_us)
    return Figures(
        rps=found.count / found.seconds,
        p50_ms=percentile(latencies, 50) / 1000,
        p99_ms=percentile(latencies, 99) / 1000,
        server_cpu_us=server_seconds * 1e6 / found.count,
        postgres_cpu_us=postgres_seconds * 1e6 / found.count,
    )


async def _settle(pids: Sequence[int]) -> None:
    """Wait until the processes rest: what a call leaves behind, such as events to hand on, is part of its cost."""
    end = time.monotonic() + _SETTLE_SECONDS
    used = cpu.seconds_of(pids)
    while time.monotonic() < end:
        await asyncio.sleep(_QUIET_SECONDS)
        now = cpu.seconds_of(pids)
        if now - used < _RESTING_SECONDS:
            return
        used = now


def percentile(ordered: Sequence[int], percent: int) -> float:
    """The value below which that share of the ordered values lies; 0 when there are none."""
    if not ordered:
        return 0.0
    return float(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)])


def medians(figures: Sequence[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    return Figures(
        rps=median(each.rps for each in figures),
        p50_ms=median(each.p50_ms for each in figures),
        p99_ms=median(each.p99_ms for each in figures),
        server_cpu_us=median(each.server_cpu_us for each in figures),
        postgres_cpu_us=median(each.postgres_cpu_us for each in figures),
    )


def _spread(values: Sequence[float]) -> float | None:
    """How far the values lie apart, in percent of their median."""
    if len(values) < 2:
        return None
    middle = median(values)
    return (max(values) - min(values)) / middle * 100 if middle else 0.0
