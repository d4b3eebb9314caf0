"""Rates that two workers share: together they let through what one limit allows, mostly without asking the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from marketd.kernel.call.refusals import DatabaseUnavailable, Overloaded
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock
from marketd.transport.edge.rates import Limits
from marketd.transport.edge.shared_rates import SharedRates
from marketd.transport.rules import RateClass

SECRET = b"0123456789abcdef"
# A token every thousand seconds: nothing comes back while a test runs.
LIMITS: Limits = {
    RateClass.LOGIN: (0.001, 10),
    RateClass.CODE: (0.001, 5),
    RateClass.READ: (0.001, 200),
    RateClass.WRITE: (1000.0, 2000),
}

StartWorker = Callable[..., Awaitable[SharedRates]]


@pytest.fixture
async def start_worker(database_url: str) -> AsyncIterator[StartWorker]:
    """Starts workers' rates, each with connections of its own."""
    async with AsyncExitStack() as stack:

        async def start(limits: Limits = LIMITS, url: str = database_url) -> SharedRates:
            engine = create_engine(url, pool_size=3)
            stack.push_async_callback(engine.dispose)
            tx = Transactor(engine, SystemClock())
            rates = SharedRates(tx, limits, secret=SECRET)
            task = asyncio.create_task(rates.run())

            async def end() -> None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await tx.drain()

            stack.push_async_callback(end)
            return rates

        yield start


async def call(rates: SharedRates, rate_class: RateClass, key: str = "kim") -> float:
    """One call as the chain makes it: 0.0, or the seconds to wait."""
    wait = rates.take(rate_class, key)
    return await rates.ask(rate_class, key) if wait is None else wait


@pytest.mark.parametrize(("rate_class", "allowed"), [(RateClass.LOGIN, 10), (RateClass.CODE, 5)])
async def test_two_workers_let_exactly_the_strict_limit_through(
    start_worker: StartWorker, rate_class: RateClass, allowed: int
) -> None:
    workers = [await start_worker(), await start_worker()]
    waits = await asyncio.gather(*(call(workers[number % 2], rate_class) for number in range(60)))
    assert sum(wait == 0.0 for wait in waits) == allowed
    assert all(900 < wait <= 1000 * 60 for wait in waits if wait)
    assert await call(workers[0], rate_class, "somebody else") == 0.0


async def test_a_burst_of_questions_travels_together_and_a_refused_caller_asks_no_more(
    start_worker: StartWorker,
) -> None:
    rates = await start_worker()
    await asyncio.gather(*(call(rates, RateClass.LOGIN) for _ in range(50)))
    assert rates.round_trips <= 3
    before = rates.round_trips
    assert all([await call(rates, RateClass.LOGIN) > 0 for _ in range(100)])
    assert rates.round_trips == before


async def test_callers_far_from_their_limit_never_ask(start_worker: StartWorker) -> None:
    rates = await start_worker()
    for key in range(500):
        for _ in range(20):
            assert rates.take(RateClass.READ, key) == 0.0
    assert rates.round_trips == 0


async def test_two_workers_share_a_burst_and_ask_far_less_than_once_a_call(start_worker: StartWorker) -> None:
    workers = [await start_worker(), await start_worker()]
    allowed = 0
    for number in range(600):
        allowed += await call(workers[number % 2], RateClass.READ) == 0.0
    # Exactly 200 but for what each worker had let pass on its own account when the bucket ran dry: an eighth.
    assert 200 <= allowed <= 200 + 2 * 25
    for _ in range(100):
        for rates in workers:
            await call(rates, RateClass.READ)
    assert sum(rates.round_trips for rates in workers) < allowed


async def test_a_steady_caller_gets_the_rate_over_both_workers_and_not_twice_of_it(start_worker: StartWorker) -> None:
    limits: Limits = {RateClass.WRITE: (400.0, 40)}
    workers = [await start_worker(limits), await start_worker(limits)]
    loop = asyncio.get_running_loop()
    begun, allowed, turn = loop.time(), 0, 0
    while loop.time() - begun < 1.0:
        wait = await call(workers[turn % 2], RateClass.WRITE)
        turn += 1
        if wait:
            await asyncio.sleep(0.001)  # a client that does not listen to RetryInfo
        else:
            allowed += 1
    seconds = loop.time() - begun
    # The burst, the rate, and each worker's unseen eighth of both.
    assert allowed <= (40 + 400 * seconds) * 1.25 + 2
    assert allowed >= 400 * seconds * 0.5
    assert sum(rates.round_trips for rates in workers) < allowed / 2


async def test_without_a_database_strict_classes_are_refused_and_the_rest_is_limited_here(
    start_worker: StartWorker,
) -> None:
    rates = await start_worker(url="postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises((DatabaseUnavailable, Overloaded)):
        await call(rates, RateClass.LOGIN)
    waits = [await call(rates, RateClass.READ) for _ in range(26)]
    assert set(waits) == {0.0}


async def test_a_question_whose_caller_went_away_leaves_nothing_behind(start_worker: StartWorker) -> None:
    rates = await start_worker()
    gone = [asyncio.create_task(rates.ask(RateClass.LOGIN, "kim")) for _ in range(5)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert await call(rates, RateClass.LOGIN) == 0.0


@pytest.mark.parametrize("limit", [(0.0, 5), (-1.0, 5), (1.0, 0)])
async def test_limits_that_would_let_nothing_through_are_refused(
    start_worker: StartWorker, limit: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match="READ"):
        await start_worker({RateClass.READ: limit})
