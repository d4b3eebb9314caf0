"""A worker that hangs (T31): the supervisor ends it and starts another, and kills none that merely slept with it.

The short form stops one of two workers; the long forms (`make faults`) have the control, a server that watches no
pulse, and the sleep of the supervisor and of everything.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from marketplace.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc

from tests.worlds.faults import World
from tests.worlds.lines import Lines
from tests.worlds.processes import Process
from tests.worlds.served import Served

_BOUND_SECONDS: Final = 30.0
"""Against hanging, on machines that are busy with other things; it takes about six."""
_SLEEP_SECONDS: Final = 8.0
_CALLS: Final = re.compile(r'^marketd_rpc_total\{[^}]*method="[^"]*/ListCategories"[^}]*\} (\S+)$', re.MULTILINE)


async def _ask(channel: grpc.aio.Channel, seconds: float, *, wait_for_ready: bool = False) -> None:
    """A call that anybody may make. Raises grpc.aio.AioRpcError."""
    catalog: Any = catalog_service_pb2_grpc.CatalogServiceStub(channel)
    await catalog.ListCategories(
        catalog_service_pb2.ListCategoriesRequest(), timeout=seconds, wait_for_ready=wait_for_ready
    )


async def _counts(served: Served) -> dict[int, float]:
    """How many such calls each worker has answered."""
    texts = await asyncio.to_thread(served.metrics)
    return {pid: sum(float(count) for count in _CALLS.findall(text)) for pid, text in texts.items()}


@asynccontextmanager
async def connections(served: Served) -> AsyncIterator[dict[int, grpc.aio.Channel]]:
    """A connection to each of the workers, by its process id."""
    found: dict[int, grpc.aio.Channel] = {}
    async with Lines(served.port, 24) as lines:
        for channel in lines.channels:
            before = await _counts(served)
            await _ask(channel, 10)
            after = await _counts(served)
            found |= {pid: channel for pid in after if after[pid] > before[pid]}
            if len(found) == 2:
                break
        assert len(found) == 2, "each of 24 connections came to the same worker"
        yield found


@contextmanager
def stopped(processes: list[Process]) -> Iterator[None]:
    """The processes do nothing inside the block; those that are still there go on after it."""
    try:
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)


@pytest.mark.usefixtures("both_workers")
async def test_a_worker_that_hangs_is_replaced_while_calls_go_on_at_the_other(served: Served) -> None:
    async with connections(served) as channels:
        hung, other = served.workers()
        mark = served.mark()
        with stopped([hung]):
            replaced = asyncio.create_task(asyncio.to_thread(served.wait_for_worker, mark, _BOUND_SECONDS))
            answered = 0
            while not replaced.done():
                await _ask(channels[other.pid], 10)
                answered += 1
                await asyncio.sleep(0.02)
            pid = await replaced
        assert answered > 10
        assert {worker.pid for worker in served.workers()} == {other.pid, pid}
        # The connection that led to the hung one leads somewhere again, after a call that learned of its end.
        with suppress(grpc.aio.AioRpcError):
            await _ask(channels[hung.pid], 10)
        await _ask(channels[hung.pid], 10, wait_for_ready=True)
    assert (
        f"Worker 0 (process {hung.pid}) hangs" in served.words() or f"Worker 1 (process {hung.pid})" in served.words()
    )


def test_a_first_start_says_what_takes_it_so_long_and_a_second_has_nothing_to_say(served: Served) -> None:
    said = [line for line in served.lines if line.startswith(("Making the database in ", "Bringing its schema to "))]
    assert [line.split()[0] for line in said] == ["Making", "Bringing"], "however often it was started again"
    assert str(served.data) in said[0]


async def test_the_database_of_a_server_keeps_what_it_acknowledged_and_listens_to_nobody_else(world: World) -> None:
    settings = ("fsync", "full_page_writes", "synchronous_commit", "listen_addresses")
    found = await world.sql("SELECT array_agg(current_setting(name)) FROM unnest($1::text[]) AS name", settings)
    assert found == ["on", "on", "on", ""]


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_without_the_pulse_a_worker_that_hangs_stays() -> None:
    """The control: what replaces it is the watch, and nothing else."""
    with _server({"MARKETD_HANG_SECONDS": "0"}) as served:
        async with connections(served) as channels:
            hung = served.workers()[0]
            mark = served.mark()
            with stopped([hung]):
                with pytest.raises(AssertionError, match="nothing like"):
                    await asyncio.to_thread(served.wait_for_worker, mark, 2 * _SLEEP_SECONDS)
                with pytest.raises(grpc.aio.AioRpcError):
                    await _ask(channels[hung.pid], 1)
            await _ask(channels[hung.pid], 10)


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("both_workers")
@pytest.mark.parametrize("everything", [False, True], ids=["supervisor", "everything"])
async def test_workers_outlive_the_sleep_of_their_supervisor(served: Served, everything: bool) -> None:
    """Ctrl-Z stops the supervisor alone; a container that is paused, and a laptop, all of it."""
    workers, family = served.workers(), served.tree()
    # The database's processes stay awake: they are not what this is about.
    sleepers = [family[0], *workers] if everything else family[:1]
    with stopped(sleepers):
        await asyncio.sleep(_SLEEP_SECONDS)
    await asyncio.sleep(3)
    assert served.workers() == workers
    async with connections(served):
        pass


@contextmanager
def _server(settings: dict[str, str]) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        # The database may run as another account than ours.
        Path(folder).chmod(0o755)
        served = Served(Path(folder), settings=settings)
        try:
            served.start()
            yield served
        finally:
            served.stop()
            served.forget()
