"""kill -9 of a worker, of PostgreSQL and of the supervisor during orders: nothing acknowledged is lost.

Each has a short form, and a long one (`make faults`) that proves its rate before the fault and hurts several times.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

import asyncpg
import pytest
from marketd.embedded.accounts import choose_account
from marketd.embedded.home import Home
from marketd.embedded.leftovers import processes_of

from tests.faults.shopping import RATE_AT_LEAST, Shopping, shoppers
from tests.worlds import processes
from tests.worlds.faults import World
from tests.worlds.lines import register
from tests.worlds.served import Served

pytestmark = [pytest.mark.usefixtures("both_workers"), pytest.mark.alone]

_DATABASE_BACK: Final = re.compile(r"PostgreSQL had died and was started again")
_BOUND_SECONDS: Final = 20.0
"""Against hanging, on machines that are busy with other things; not a target."""

Fault: TypeAlias = Callable[[Served, World], Coroutine[Any, Any, None]]


async def kill_a_worker(served: Served, world: World) -> None:
    """The other worker goes on; a new one comes in its place."""
    mark, before = served.mark(), served.workers()
    os.kill(before[0].pid, signal.SIGKILL)
    pid = await asyncio.to_thread(served.wait_for_worker, mark, _BOUND_SECONDS)
    after = {process.pid for process in served.workers()}
    assert after == {pid, before[1].pid}


async def kill_the_database(served: Served, world: World) -> None:
    """The workers stay up and find the new one."""
    mark, before, workers = served.mark(), served.postmaster(), served.workers()
    os.kill(before.pid, signal.SIGKILL)
    await asyncio.to_thread(served.wait_for, _DATABASE_BACK, since=mark, seconds=_BOUND_SECONDS)
    assert served.postmaster().pid != before.pid
    assert served.workers() == workers


async def kill_the_supervisor(served: Served, world: World) -> None:
    """Everything goes down with it, and a new one finds all data where it was."""
    family = await asyncio.to_thread(served.kill_supervisor)
    left = await asyncio.to_thread(processes.wait_until_ended, family, 10.0)
    assert left == []
    home = Home((served.data / "postgres").resolve())
    assert processes_of(home.cluster_name(), choose_account(home.data)) == []
    assert [each for each in processes.everything() if f"--parent {family[0].pid} " in f"{each.command} "] == []
    await asyncio.to_thread(served.start)


async def restart_the_database(served: Served, world: World) -> None:
    """A fast shutdown, as an administrator would do it."""
    mark, before, workers = served.mark(), served.postmaster(), served.workers()
    os.kill(before.pid, signal.SIGINT)
    await asyncio.to_thread(served.wait_for, _DATABASE_BACK, since=mark, seconds=_BOUND_SECONDS)
    assert served.workers() == workers


async def crash_the_database(served: Served, world: World) -> None:
    """A backend dies, so the postmaster ends all others and recovers from its log."""
    workers, said = served.workers(), served.database_log().count("database system is ready to accept connections")
    backends = [each for each in served.database_processes() if " marketplace [local]" in each.command]
    os.kill(backends[0].pid, signal.SIGKILL)
    async with asyncio.timeout(_BOUND_SECONDS):
        while served.database_log().count("database system is ready to accept connections") == said:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the postmaster tells nobody but its log
    assert served.workers() == workers


async def end_the_sessions(served: Served, world: World) -> None:
    """Every connection of the workers is cut, as a failover does."""
    workers = served.workers()
    connection = await asyncpg.connect(world.database_url, timeout=5)
    ended = await connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'marketd%'"
    )
    await connection.close()
    assert ended > 0
    assert served.workers() == workers


async def a_last_order_succeeds(world: World, shopping: Shopping) -> None:
    """I10."""
    async with world.lines() as lines:
        buyer = await register(lines)
        group = await world.paid(lines, buyer, shopping.goods)
        assert group.orders


async def sound_after(served: Served, world: World, shopping: Shopping) -> None:
    await a_last_order_succeeds(world, shopping)
    await world.drained()
    await asyncio.to_thread(served.check)


async def test_what_was_acknowledged_outlives_a_kill_during_orders(served: Served, world: World) -> None:
    """Of a worker: the other faults are in the long form alone, each costs several seconds of orders."""
    # At full speed they would take the processor that a new worker starts with.
    async with shoppers(world, 6, pause_seconds=0.1) as shopping:
        await shopping.lines.until_answered(60)
        await kill_a_worker(served, world)
        await shopping.lines.until_answered(60)
    await sound_after(served, world, shopping)


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault",
    [
        kill_a_worker,
        kill_the_database,
        kill_the_supervisor,
        restart_the_database,
        crash_the_database,
        end_the_sessions,
    ],
)
async def test_what_was_acknowledged_outlives_three_kills_at_full_rate(
    served: Served, world: World, fault: Fault
) -> None:
    async with shoppers(world, 16) as shopping:
        for _ in range(3):
            begun = time.monotonic()
            await shopping.lines.until_answered(200, seconds=60)
            rate = shopping.lines.rate(begun)
            if rate < RATE_AT_LEAST:
                pytest.fail(f"invalid: only {rate:.0f} operations/s before the fault (I9)")
            await fault(served, world)
            await shopping.lines.until_answered(100, seconds=60)
    await sound_after(served, world, shopping)
