"""The position writer by itself: a batch that cannot be stored, and what still waits when it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.tracking.repository import NewPosition
from marketd.tracking.uplink.acks import Rejections, Uplink
from marketd.tracking.uplink.density import Density
from marketd.tracking.uplink.judge import Rejection
from marketd.tracking.uplink.position_writer import Parcel, PositionWriter
from marketd.tracking.values import Fix, micros

from tests.integration.units import transactor
from tests.integration.wires import Wire

if TYPE_CHECKING:
    from tests.worlds.tracking import World


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.rejected: list[tuple[int, int]] = []
        self.repeated: list[tuple[int, int]] = []
        self.done = asyncio.Event()

    untold = 0

    def settled(self, rejected: Rejections, repeated: Rejections) -> None:
        self.rejected += rejected
        self.repeated += repeated
        self.done.set()

    def failed(self, error: Exception) -> None:
        self.error = error
        self.done.set()


def parcel(courier_id: UUID, *seqs: int) -> tuple[Parcel, Heard]:
    """Good positions of a new uplink, the last of which moved the marker."""
    now = micros(SystemClock().now())
    first = now - 1_000
    uplink, heard = Uplink(courier_id, new_id(), Density(5.0)), Heard()
    uplink.listeners.append(heard)
    rows = []
    for seq in seqs:
        uplink.admit(seq)
        rows.append(NewPosition(0, seq, first + seq, now, 52.0, 13.0, None, None, None, False, None, 0, None))
    return Parcel(uplink, rows, Fix(seqs[-1], first + seqs[-1], now, Point(52.0, 13.0), None, None, None)), heard


@pytest.fixture
async def writer(world: World) -> AsyncIterator[tuple[PositionWriter, asyncio.Task[None]]]:
    made = PositionWriter(world.tx, gather_seconds=0.02)
    task = asyncio.create_task(made.run())
    yield made, task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_batch_that_cannot_be_stored_costs_its_own_uplink_only(
    world: World, writer: tuple[PositionWriter, asyncio.Task[None]]
) -> None:
    good = [parcel((await world.courier())[1], 1, 2, 3) for _ in range(3)]
    poison, poisoned = parcel(new_id(), 1, 2)  # no such courier: the latest position refuses it
    for one, _ in (good[0], (poison, poisoned), *good[1:]):
        writer[0].add(one)
    async with asyncio.timeout(30):
        for _, heard in (*good, (poison, poisoned)):
            await heard.done.wait()
    assert poisoned.error is not None
    assert poison.uplink.acked_seq == 0
    for one, heard in good:
        assert heard.error is None
        assert one.uplink.acked_seq == 3
        assert await world.stored(one.uplink.courier_id) == [1, 2, 3]
    assert await world.stored(poison.uplink.courier_id) == []


@pytest.mark.parametrize("is_committed", [True, False], ids=["answer-lost", "commit-lost"])
async def test_a_batch_whose_commit_is_lost_is_written_until_it_holds_and_its_rejections_are_news(
    world: World, database_url: str, is_committed: bool
) -> None:
    _, courier_id = await world.courier()
    one, heard = parcel(courier_id, 1, 2, 3)
    one.rows[1] = one.rows[1]._replace(
        sample_micros=None, latitude=None, longitude=None, reason=Rejection.FIELD_MISSING
    )
    async with Wire(database_url) as wire, transactor(wire.url) as far:
        (wire.lose_answer_to if is_committed else wire.lose)(b"COMMIT")
        writer = PositionWriter(far, gather_seconds=0.02)
        task = asyncio.create_task(writer.run())
        writer.add(one)
        await asyncio.wait_for(heard.done.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    # The rows that come back as duplicates are its own: whoever sent them has had no answer yet.
    assert (heard.rejected, heard.repeated) == ([(2, Rejection.FIELD_MISSING)], [])
    assert one.uplink.acked_seq == 3
    assert await world.stored(courier_id) == [1, 3]


async def test_a_writer_that_is_stopped_commits_what_waits_once(
    world: World, database_url: str, writer: tuple[PositionWriter, asyncio.Task[None]]
) -> None:
    blocker = await asyncpg.connect(database_url)
    _, courier_id = await world.courier()
    first, heard = parcel(courier_id, 1, 2, 3)
    second, _ = parcel(courier_id, 4, 5)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE position_points IN ACCESS EXCLUSIVE MODE")
            writer[0].add(first)
            async with asyncio.timeout(30):
                while not await blocker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    continue
            writer[0].add(second)
            writer[1].cancel()
            assert not heard.done.is_set()
    finally:
        await blocker.close()
    await asyncio.gather(writer[1], return_exceptions=True)
    assert first.uplink.acked_seq == 3
    assert second.uplink.acked_seq == 5
    assert await world.stored(courier_id) == [1, 2, 3, 4, 5]
