"""Two servers on one database, as two workers are: one limit, whichever of them a call reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from marketd.kernel.call.caller import Role
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock
from marketd.transport.edge.rates import Limits
from marketd.transport.edge.shared_rates import SharedRates
from marketd.transport.rules import RateClass

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

StartProbe = Callable[..., Awaitable["Probe"]]
StartPair = Callable[..., Awaitable[tuple["Probe", "Probe"]]]


@pytest.fixture
async def start_pair(start_probe: StartProbe, database_url: str) -> AsyncIterator[StartPair]:
    """Starts two probes that share their rates."""
    async with AsyncExitStack() as stack:

        async def start_one(limits: Limits, options: dict[str, Any]) -> Probe:
            engine = create_engine(database_url, pool_size=2)
            stack.push_async_callback(engine.dispose)
            rates = SharedRates(Transactor(engine, SystemClock()), limits, secret=b"0123456789abcdef")
            task = asyncio.create_task(rates.run())

            async def end() -> None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            stack.push_async_callback(end)
            return await start_probe(rates=rates, **options)

        async def start(limits: Limits, **options: Any) -> tuple[Probe, Probe]:
            return await start_one(limits, options), await start_one(limits, options)

        yield start


async def outcome(probe: Probe, method: str, **options: Any) -> str:
    """OK, or the reason."""
    try:
        await probe.result(method, probe.question(), **options)
    except probe.error as error:
        refused = probe.taken_apart(error)
        assert refused.code == "RESOURCE_EXHAUSTED"
        assert refused.retry_seconds is not None
        assert refused.retry_seconds > 0
        return refused.reason
    return "OK"


async def test_an_address_has_its_logins_once_over_both_servers(start_pair: StartPair) -> None:
    pair = await start_pair({RateClass.LOGIN: (0.001, 5)})
    found = await asyncio.gather(*(outcome(pair[number % 2], "Login") for number in range(30)))
    assert sorted(found) == ["OK"] * 5 + ["RATE_LIMITED"] * 25
    assert [await outcome(probe, "Login") for probe in pair] == ["RATE_LIMITED"] * 2


async def test_only_the_hop_that_a_trusted_proxy_wrote_names_the_address(start_pair: StartPair) -> None:
    one, _ = await start_pair({RateClass.LOGIN: (0.001, 1)}, trusted_proxy_hops=1)
    forged = [("x-forwarded-for", f"10.0.0.{number}, 203.0.113.9") for number in range(3)]
    assert [await outcome(one, "Login", metadata=[pair]) for pair in forged] == ["OK", "RATE_LIMITED", "RATE_LIMITED"]
    assert await outcome(one, "Login", metadata=[("x-forwarded-for", "203.0.113.10")]) == "OK"


async def test_whoever_has_a_whole_ipv6_network_has_one_limit(start_pair: StartPair) -> None:
    one, _ = await start_pair({RateClass.LOGIN: (0.001, 2)}, trusted_proxy_hops=1)
    # A provider gives a customer a /56: whoever guesses at passwords has 256 networks of 2^64 addresses.
    neighbours = [[("x-forwarded-for", f"2001:db8:1:2{number:02x}::{number:x}")] for number in range(1, 6)]
    found = [await outcome(one, "Login", metadata=pair) for pair in neighbours]
    assert found == ["OK"] * 2 + ["RATE_LIMITED"] * 3
    assert await outcome(one, "Login", metadata=[("x-forwarded-for", "2001:db8:1:3::1")]) == "OK"


async def test_a_login_with_a_token_counts_for_its_account_and_for_its_address(start_pair: StartPair) -> None:
    one, _ = await start_pair({RateClass.LOGIN: (0.001, 3)}, trusted_proxy_hops=1)
    tokens = [one.tokens.issue(Role.BUYER) for _ in range(5)]
    here = [("x-forwarded-for", "203.0.113.9")]
    by_address = [await outcome(one, "Login", token=token, metadata=here) for token in tokens]
    assert by_address == ["OK"] * 3 + ["RATE_LIMITED"] * 2
    elsewhere = [[("x-forwarded-for", f"203.0.113.{100 + number}")] for number in range(4)]
    by_account = [await outcome(one, "Login", token=tokens[4], metadata=pair) for pair in elsewhere]
    assert by_account == ["OK"] * 3 + ["RATE_LIMITED"]


async def test_accounts_behind_one_address_do_not_use_up_each_others_reads(start_pair: StartPair) -> None:
    pair = await start_pair({RateClass.WRITE: (0.001, 4)})
    one, other = pair[0].tokens.issue(Role.BUYER), pair[0].tokens.issue(Role.BUYER)
    pair[1].tokens.callers.update(pair[0].tokens.callers)
    found = [await outcome(pair[number % 2], "Ask", token=one) for number in range(12)]
    assert found.count("OK") == 4
    assert await outcome(pair[0], "Ask", token=other) == "OK"
