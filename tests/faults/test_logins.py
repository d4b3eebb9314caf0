"""T33: forty bogus logins a second from changing addresses, more than the cores can hash, on real server processes.

The control is in the same minute and on the same accounts: people who come with a device that nobody has seen stand in
the lane that the flood fills, as everybody did before there was another.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import bcrypt
import grpc
import pytest
from marketd.config.problems import PRODUCTION_BCRYPT_COST
from marketplace.auth.v1 import auth_service_pb2 as pb
from marketplace.auth.v1 import auth_service_pb2_grpc
from marketplace_client.errors import from_rpc_error

from tests.canaries import MARK
from tests.worlds.served import Served

pytestmark = pytest.mark.alone

PEOPLE = 12
BOGUS_PER_SECOND, HONEST_PER_SECOND = 40.0, 1.2
SECONDS = 25.0
# Enough for every worker to have its part: the kernel shares them out by chance.
CONNECTIONS = 16
WORKERS = 2
LONGEST_HASH_SECONDS = 0.15
PASSWORD = f"correct horse battery {MARK}"
REFUSALS = {"INVALID_CREDENTIALS", "RATE_LIMITED", "OVERLOADED"}


def dear_cost() -> int:
    """Production's cost, or less where the machine is slow or busy.

    Four threads share two cores with the flood itself, so a hash takes several times as long in the test.
    """
    for cost in range(PRODUCTION_BCRYPT_COST, 8, -1):
        before = time.perf_counter()
        bcrypt.hashpw(b"", bcrypt.gensalt(cost))
        if time.perf_counter() - before <= LONGEST_HASH_SECONDS:
            return cost
    return 8


@pytest.fixture
def dear_server() -> Iterator[Served]:
    """A server whose hashes are about as dear as production's, behind a proxy that names the callers' addresses."""
    with tempfile.TemporaryDirectory(prefix="ml-") as folder:
        Path(folder).chmod(0o755)
        settings = {"MARKETD_BCRYPT_COST": str(dear_cost()), "MARKETD_TRUSTED_PROXY_HOPS": "1"}
        server = Served(Path(folder), workers=WORKERS, settings=settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            server.look()
            server.forget()


async def outcome(auth: Any, login: str, password: str, device: str, address: str) -> str:
    """How a login ends: OK, the reason of its refusal, or a status that has none."""
    request = pb.LoginRequest(login=login, password=password, device_name=device)
    try:
        await auth.Login(request, metadata=[("x-forwarded-for", address)], timeout=10)
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason or error.code().name
    return "OK"


class Crowd:
    """Calls that begin at an even pace, whatever becomes of those before them."""

    def __init__(self, per_second: float) -> None:
        self._pause = 1.0 / per_second
        self.ends: Counter[str] = Counter()

    async def run(self, begin: Any, seconds: float) -> None:
        """Begin calls for so long, and wait until they have ended."""
        async with asyncio.TaskGroup() as group:
            start = time.monotonic()
            for number in range(int(seconds / self._pause)):
                # The pace is what the scenario is about.
                await asyncio.sleep(max(0.0, start + number * self._pause - time.monotonic()))
                group.create_task(self._one(begin(number)))

    async def _one(self, call: Any) -> None:
        self.ends[await call] += 1

    @property
    def share_ok(self) -> float:
        """Which part of them succeeded."""
        return self.ends["OK"] / self.ends.total()


@pytest.mark.faults
async def test_bogus_logins_from_changing_addresses_leave_the_known_ones_in(
    dear_server: Served, record_property: Callable[[str, object], None]
) -> None:
    async with AsyncExitStack() as stack:
        stubs: list[Any] = []
        for _ in range(CONNECTIONS):
            # A connection of its own each: the workers share them out.
            channel = grpc.aio.insecure_channel(
                f"127.0.0.1:{dear_server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
            )
            stubs.append(auth_service_pb2_grpc.AuthServiceStub(await stack.enter_async_context(channel)))
        auth = itertools.cycle(stubs)
        people = [f"{secrets.token_hex(6)}@shop.example" for _ in range(PEOPLE)]
        for number, email in enumerate(people):
            request = pb.RegisterRequest(email=email, password=PASSWORD, device_name="my phone")
            await next(auth).Register(request, metadata=[("x-forwarded-for", f"192.0.{number}.7")], timeout=20)

        def bogus(number: int) -> Any:
            # One in four aims at somebody who exists.
            name = people[number % PEOPLE] if number % 4 == 0 else f"nobody-{number}@shop.example"
            address = f"198.51.{number // 250 % 250}.{number % 250}"
            return outcome(next(auth), name, f"wrong horse {MARK}", "my phone" if number % 8 == 0 else "", address)

        def known(number: int) -> Any:
            person = number % PEOPLE
            return outcome(next(auth), people[person], PASSWORD, "my phone", f"192.0.{person}.{number % 250}")

        def newcomer(number: int) -> Any:
            return outcome(next(auth), people[number % PEOPLE], PASSWORD, f"phone {number}", f"203.0.113.{number}")

        flood, honest, control = Crowd(BOGUS_PER_SECOND), Crowd(HONEST_PER_SECOND), Crowd(HONEST_PER_SECOND)
        attack = asyncio.create_task(flood.run(bogus, SECONDS + 4))
        # Until the lane of strangers is full.
        await asyncio.sleep(3)
        await asyncio.gather(honest.run(known, SECONDS), control.run(newcomer, SECONDS))
        await attack
    figures = f"flood {dict(flood.ends)}, known {dict(honest.ends)}, newcomers {dict(control.ends)}"
    # A hash that a busy machine does later than the last ones let expect.
    assert flood.ends.pop("DEADLINE_EXCEEDED", 0) < 0.01 * flood.ends.total(), figures
    assert set(flood.ends) <= REFUSALS, figures
    assert flood.ends["INVALID_CREDENTIALS"], figures
    assert honest.share_ok >= 0.95, figures
    assert control.share_ok < 0.95, figures
    record_property("figures", figures)
