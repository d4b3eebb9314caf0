"""What twenty logins at once do to everybody else: GetProduct's latency in quiet, and while they are hashed.

It has a server of its own with production's bcrypt cost, and no floor: the server is compared with itself. A few calls
are in flight, far from what a core can do, so that the figures show waiting and not a queue of their own making.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import grpc
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from marketplace.catalog.v1 import catalog_service_pb2

from marketd.bench import cpu
from marketd.bench.clients import LoadClients, LoadFailed
from marketd.bench.measure import Figures, figures_of, medians, percentile
from marketd.bench.operations import CONNECTIONS, Round, Side
from marketd.bench.work import Calls
from marketd.bench.world import CALL_SECONDS, World

AT_ONCE = 20
BCRYPT_COST, QUICK_BCRYPT_COST = "12", "6"
NAME = f"get_product_during_{AT_ONCE}_logins"
NOTE = f"its floor is the same server in quiet; the ratio is that of p99; {AT_ONCE} logins at bcrypt cost {BCRYPT_COST}"

_IN_FLIGHT = 2
_METHOD = "/marketplace.catalog.v1.CatalogService/GetProduct"


@dataclass(frozen=True, slots=True)
class LoginsMeasured:
    """The medians of the rounds."""

    rounds: int
    quiet: Figures
    busy: Figures
    logins_per_second: float
    login_p50_ms: float
    login_p99_ms: float
    logins_refused: int

    @property
    def ratio(self) -> float:
        """How many times as long GetProduct's p99 is while people sign in."""
        return self.busy.p99_ms / self.quiet.p99_ms if self.quiet.p99_ms else 0.0

    def to_json(self) -> dict[str, Any]:
        """In the form of the other operations, as far as it has their figures."""
        return {
            "name": NAME,
            **_rounded(asdict(self.busy)),
            "floor": {"quiet": _rounded(asdict(self.quiet))},
            "ratio": round(self.ratio, 3),
            "target": None,
            "rounds": self.rounds,
            "logins_per_second": round(self.logins_per_second, 1),
            "login_p50_ms": round(self.login_p50_ms, 1),
            "login_p99_ms": round(self.login_p99_ms, 1),
            "logins_refused": self.logins_refused,
            "note": NOTE,
        }

    def sentence(self) -> str:
        """For a terminal."""
        return (
            f"{NAME}: p99 {self.quiet.p99_ms:.2f} ms in quiet, {self.busy.p99_ms:.2f} ms while {AT_ONCE} sign in at "
            f"once (p50 {self.quiet.p50_ms:.2f} and {self.busy.p50_ms:.2f} ms); {self.logins_per_second:.1f} logins/s, "
            f"a login takes {self.login_p50_ms:.0f} ms (p99 {self.login_p99_ms:.0f} ms), "
            f"{self.logins_refused} were refused."
        )


@dataclass(slots=True)
class _Tally:
    """What one person's logins came to."""

    tries: int = 0
    refused: int = 0
    latencies_us: list[int] = field(default_factory=list)


async def measure_logins(
    world: World,
    side: Side,
    clients: LoadClients,
    postmaster_pid: int,
    size: Round,
    rounds: int,
    progress: Callable[[str], None],
) -> LoginsMeasured:
    """Measure in quiet and under logins in turn. Raises LoadFailed, and grpc's errors when a login fails."""
    await world.open_shops()
    product = catalog_service_pb2.GetProductRequest(product_id=world.products[0].product_id).SerializeToString()
    (buyer,) = await world.buyers(1)
    quiet: list[Figures] = []
    busy: list[Figures] = []
    taken: list[int] = []
    refused = 0
    rates: list[float] = []
    async with grpc.aio.insecure_channel(side.target) as channel:
        auth = auth_service_pb2_grpc.AuthServiceStub(channel)
        progress(f"{NAME}: registering {AT_ONCE} people")
        people = [await _register(auth, world, number) for number in range(AT_ONCE)]

        async def get_products() -> Figures:
            same = [(buyer.access_token, product)]
            load = Calls(side.target, _METHOD, same, _IN_FLIGHT, CONNECTIONS, size.seconds)
            before: list[float] = []

            def begin() -> None:
                before[:] = [cpu.seconds_of(side.pids), cpu.postgres_seconds(postmaster_pid)]

            found = await clients.run([load] * clients.count, begin)
            return figures_of(
                found, cpu.seconds_of(side.pids) - before[0], cpu.postgres_seconds(postmaster_pid) - before[1]
            )

        await get_products()
        for number in range(rounds):
            progress(f"{NAME}: round {number + 1} of {rounds}")
            quiet.append(await get_products())
            done = asyncio.Event()
            begun = time.perf_counter()
            signing_in = [asyncio.create_task(_sign_in(auth, world, email, done)) for email in people]
            try:
                busy.append(await get_products())
            finally:
                done.set()
                tallies = await asyncio.gather(*signing_in)
            latencies = [one for tally in tallies for one in tally.latencies_us]
            refused += sum(tally.refused for tally in tallies)
            taken += latencies
            rates.append(len(latencies) / (time.perf_counter() - begun))
    if not taken:
        raise LoadFailed(f"{NAME}: none of {refused} logins ended within its deadline")
    ordered = sorted(taken)
    return LoginsMeasured(
        rounds,
        medians(quiet),
        medians(busy),
        median(rates),
        percentile(ordered, 50) / 1000,
        percentile(ordered, 99) / 1000,
        refused,
    )


async def _register(auth: Any, world: World, number: int) -> str:
    email = f"sign-in-{number}-{time.time_ns()}@bench.example"
    request = auth_service_pb2.RegisterRequest(email=email, password=world.password, full_name="Robin Bench")
    await auth.Register(request, timeout=CALL_SECONDS)
    return email


async def _sign_in(auth: Any, world: World, email: str, done: asyncio.Event) -> _Tally:
    """Sign in again and again until `done`, at least once."""
    tally = _Tally()
    request = auth_service_pb2.LoginRequest(login=email, password=world.password)
    while not tally.tries or not done.is_set():
        tally.tries += 1
        begun = time.perf_counter_ns()
        try:
            await auth.Login(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as refusal:
            # Where a core is slow or shared, the queue outlasts the call's deadline: that is a finding, not a fault.
            if refusal.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                raise
            tally.refused += 1
        else:
            tally.latencies_us.append((time.perf_counter_ns() - begun) // 1000)
    return tally


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3 if name.endswith("_ms") else 1) for name, value in figures.items()}
