"""A courier who sends far more than anybody samples is bounded, position by position; a backlog is not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from marketd.kernel.call.caller import Caller
from marketd.kernel.events.broadcast import LocalBroadcast
from marketd.kernel.values.ids import new_id
from marketd.tracking.uplink.density import DENSE
from marketd.tracking.uplink.judge import Rejection
from marketd.tracking.uplink.stream import MAX_UNTOLD
from marketplace.tracking.v1 import position_pb2

from tests.worlds.tracking import run_worker
from tests.worlds.tracking_clients import Uplink, now_seconds, position

if TYPE_CHECKING:
    from tests.worlds.tracking import Worker, World

RATE_HZ = 5.0
A_MINUTE = round(RATE_HZ * 60 * DENSE)
BOUND = 2 * A_MINUTE
"""A flood of a second may fall into two minutes."""


@pytest.fixture
async def unbounded(world: World) -> AsyncIterator[Worker]:
    """A worker whose bound lies where nobody meets it."""
    async with run_worker(world.tx, LocalBroadcast(), position_rate_hz=1e9) as made:
        yield made


def flood(count: int, *, seconds: float = 1.0) -> list[position_pb2.Position]:
    """Positions sampled within so many seconds that end now."""
    end = now_seconds()
    return [position(1 + n, end - seconds * (count - 1 - n) / count) for n in range(count)]


def backlog(count: int, hz: float = 1.0, *, age: float = 3600.0) -> list[position_pb2.Position]:
    """What a device kept: sampled at this rate, the last of it `age` seconds ago."""
    end = now_seconds() - age
    return [position(1 + n, end - (count - 1 - n) / hz) for n in range(count)]


async def streamed(uplink: Uplink, uplink_id: UUID, positions: Sequence[position_pb2.Position]) -> None:
    """Send them as fast as it goes, and see all of them acknowledged."""
    uplink.hello(uplink_id)
    for start in range(0, len(positions), 200):
        uplink.batch(positions[start : start + 200])
    await uplink.until(lambda: uplink.acked_seq >= positions[-1].seq, 40)


async def reported(
    worker: Worker, courier: Caller, uplink_id: UUID, positions: Sequence[position_pb2.Position]
) -> list[tuple[int, int]]:
    """Send them in reports; what was rejected."""
    rejected: list[tuple[int, int]] = []
    for start in range(0, len(positions), 1000):
        ack = await worker.report(courier, uplink_id, positions[start : start + 1000])
        assert ack.acked_seq == positions[min(start + 1000, len(positions)) - 1].seq
        rejected += [(one.seq, int(one.reason)) for one in ack.rejected]
    return rejected


async def noted(world: World, courier_id: UUID) -> int:
    """How many numbers of the courier the ledger holds, whatever became of them."""
    statement = "SELECT count(*) FROM position_ledger WHERE courier_id = $1"
    return int(await world.tx.read(lambda unit: unit.connection.fetchval(statement, courier_id)))


async def test_a_flood_is_rejected_one_by_one_beyond_the_bound_and_costs_no_table_anything(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    await streamed(uplink, new_id(), flood(4_000))
    await uplink.finish()
    stored = await world.stored(courier_id)
    assert A_MINUTE <= len(stored) <= BOUND
    assert {reason for _, reason in uplink.rejected} == {Rejection.RATE_EXCEEDED}
    assert sorted([*stored, *(seq for seq, _ in uplink.rejected)]) == list(range(1, 4_001))
    assert await noted(world, courier_id) == len(stored)


async def test_without_the_bound_a_flood_is_stored_whole(world: World, unbounded: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink = unbounded.uplink(courier)
    await streamed(uplink, new_id(), flood(4_000))
    assert len(await world.stored(courier_id)) == 4_000 > BOUND


async def test_streams_reports_and_uplinks_of_a_courier_share_one_bound_over_reconnects(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    rejected = await reported(worker, courier, new_id(), flood(2_000))
    for _ in range(2):
        uplink = worker.uplink(courier)
        await streamed(uplink, new_id(), flood(1_000))
        await uplink.finish()
        rejected += uplink.rejected
    rejected += await reported(worker, courier, new_id(), flood(1_000))
    stored = len(await world.stored(courier_id))
    assert A_MINUTE <= stored <= BOUND
    assert stored + len(rejected) == 5_000
    # Another courier is not held to it.
    other, other_id = await world.courier()
    assert await reported(worker, other, new_id(), flood(1_000)) == []
    assert len(await world.stored(other_id)) == 1_000


async def test_a_flood_of_bad_positions_does_not_fill_the_ledger_and_each_has_its_own_reason(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    bad = flood(3_000)
    for one in bad:
        one.point.latitude = math.nan
    rejected = await reported(worker, courier, new_id(), bad)
    assert rejected == [(seq, Rejection.NOT_FINITE) for seq in range(1, 3_001)]
    assert A_MINUTE <= await noted(world, courier_id) <= BOUND


@pytest.mark.parametrize("hz", [1.0, RATE_HZ])
async def test_a_backlog_passes_whole_by_stream_and_by_report(world: World, worker: Worker, hz: float) -> None:
    courier, courier_id = await world.courier()
    kept = backlog(4_000, hz)
    uplink = worker.uplink(courier)
    await streamed(uplink, new_id(), kept)
    await uplink.finish()
    assert uplink.rejected == []
    other, other_id = await world.courier()
    assert await reported(worker, other, new_id(), kept) == []
    assert len(await world.stored(courier_id)) == len(await world.stored(other_id)) == 4_000


async def test_a_backlog_that_is_sent_again_and_again_over_lost_connections_still_passes(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    uplink_id, kept = new_id(), backlog(1_500, RATE_HZ)
    for _ in range(2 * DENSE):
        uplink = worker.uplink(courier)
        await streamed(uplink, uplink_id, kept)
        await uplink.finish()
        assert uplink.rejected == []
    assert len(await world.stored(courier_id)) == 1_500


async def test_what_was_rejected_for_the_rate_is_judged_anew_when_it_comes_again(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink_id, positions = new_id(), flood(A_MINUTE + 1, seconds=0)
    assert await reported(worker, courier, uplink_id, positions) == [(A_MINUTE + 1, Rejection.RATE_EXCEEDED)]
    again = positions[-1]
    again.sample_time.seconds -= 3600
    assert await reported(worker, courier, uplink_id, [again]) == []
    assert (await world.stored(courier_id))[-1] == A_MINUTE + 1


async def test_a_courier_who_floods_and_does_not_read_is_not_read_either(world: World, worker: Worker) -> None:
    courier, _ = await world.courier()
    uplink = worker.uplink(courier)
    messages = MAX_UNTOLD // 200 + 40
    uplink.hello(new_id())
    await uplink.until(lambda: bool(uplink.answers))
    uplink.stop_reading()
    positions = flood(messages * 200)
    for start in range(0, len(positions), 200):
        uplink.batch(positions[start : start + 200])
    # What of it is stored, what may wait untold, and a message on its way; it would read the rest if nothing held it.
    most = (MAX_UNTOLD + BOUND) // 200 + 2
    async with asyncio.timeout(20):
        while uplink.unread > messages - MAX_UNTOLD // 200:  # noqa: ASYNC110 - that nobody reads is announced by nothing
            await asyncio.sleep(0)
    for _ in range(500):
        await asyncio.sleep(0)
    assert uplink.unread >= messages - most > 0
    uplink.is_reading.set()
    await uplink.until(lambda: uplink.acked_seq > BOUND)
