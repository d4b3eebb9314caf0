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
from marketd.tracking.repository import MAX_RANGES
from marketd.tracking.uplink.density import DENSE
from marketd.tracking.uplink.intake import MAX_UNTOLD
from marketd.tracking.uplink.judge import Rejection
from marketd.tracking.uplink.position_writer import MAX_PENDING_OF_ONE
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


@pytest.mark.parametrize("again", [0, 1], ids=["same worker", "other worker"])
async def test_a_rejection_whose_answer_was_lost_is_told_by_the_next_hello_on_whatever_worker(
    world: World, workers: list[Worker], again: int
) -> None:
    courier, courier_id = await world.courier()
    uplink_id, positions = new_id(), flood(4_000)
    positions.append(position(4_001, now_seconds() - 3600))
    lost = workers[0].uplink(courier)
    await streamed(lost, uplink_id, positions)
    await lost.drop()
    # The client has seen no answer; it says so, and sends nothing again.
    uplink = workers[again].uplink(courier)
    uplink.hello(uplink_id)
    await uplink.acked(4_001)
    told = [seq for seq, _ in uplink.rejected]
    stored = await world.stored(courier_id)
    assert sorted([*stored, *told]) == list(range(1, 4_002))
    await uplink.drop()
    # What it has seen acknowledged is not told again, and the acknowledgement does not go back.
    half = workers[1].uplink(courier)
    half.hello(uplink_id, last_acked_seq=3_000)
    await half.acked(4_001)
    # A slow machine gives the courier the time to be allowed a few more.
    expected = [(seq, Rejection.RATE_EXCEEDED) for seq in sorted({*range(3_001, 4_001)} - {*stored})]
    assert half.rejected == expected != []
    await half.drop()
    # And it is not kept any more, but for the highest number, from which the next stream goes on.
    whole = workers[again].uplink(courier)
    whole.hello(uplink_id, last_acked_seq=4_001)
    await whole.until(lambda: bool(whole.answers))
    statement = "SELECT sum(upper(r) - lower(r)) FROM position_uplinks, unnest(passed_over) r WHERE uplink_id = $1"
    assert await world.tx.read(lambda unit: unit.connection.fetchval(statement, uplink_id)) == 1


async def test_a_lost_rejection_that_was_sent_again_and_stored_is_not_told_as_rejected(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    uplink_id, positions = new_id(), flood(A_MINUTE + 3, seconds=0)
    await reported(worker, courier, uplink_id, positions)
    again = positions[-2]
    again.sample_time.seconds -= 3600
    assert not (await worker.report(courier, uplink_id, [again])).rejected
    uplink = worker.uplink(courier)
    uplink.hello(uplink_id)
    await uplink.acked(A_MINUTE + 3)
    assert uplink.rejected == [(seq, Rejection.RATE_EXCEEDED) for seq in (A_MINUTE + 1, A_MINUTE + 3)]
    assert again.seq in await world.stored(courier_id)


async def test_all_lost_rejections_are_told_however_many_before_what_is_above_them_is_acknowledged(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketd.tracking.uplink.open.MAX_TOLD_AGAIN", 300)
    courier, courier_id = await world.courier()
    uplink_id, positions = new_id(), flood(2_000, seconds=0)
    for one in positions[:400]:
        one.point.latitude = math.nan
    await reported(worker, courier, uplink_id, positions)
    uplink = worker.uplink(courier)
    uplink.hello(uplink_id)
    await uplink.acked(2_000)
    told = [seq for seq, _ in uplink.rejected]
    assert sorted([*await world.stored(courier_id), *told]) == list(range(1, 2_001))
    rejected: set[int] = set()
    for answer in uplink.answers:
        rejected |= {one.seq for one in answer.ack.rejected}
        assert {seq for seq in told if seq <= answer.ack.acked_seq} <= rejected


async def test_an_uplink_keeps_few_ranges_whatever_numbers_it_uses(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink_id, positions = new_id(), flood(A_MINUTE + 700, seconds=0)
    for one in positions[A_MINUTE:]:
        one.seq = 2 * one.seq
    positions[-1].seq = 2**63 - 1
    await reported(worker, courier, uplink_id, positions)
    statement = "SELECT count(*) FROM position_uplinks, unnest(passed_over) WHERE courier_id = $1"
    count = await world.tx.read(lambda unit: unit.connection.fetchval(statement, courier_id))
    assert 0 < count <= MAX_RANGES
    uplink = worker.uplink(courier)
    uplink.hello(uplink_id)
    await uplink.acked(2**63 - 1)
    assert {one.seq for one in positions} - {seq for seq, _ in uplink.rejected} == set(await world.stored(courier_id))


async def test_reports_beside_a_stream_that_is_not_read_wait_for_it(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketd.tracking.uplink.intake.MAX_UNTOLD", 1_500)
    courier, _ = await world.courier()
    uplink, uplink_id = worker.uplink(courier), new_id()
    uplink.hello(uplink_id)
    await uplink.until(lambda: bool(uplink.answers))
    uplink.stop_reading()
    positions = flood(A_MINUTE + 9_000, seconds=0)
    reports = [
        asyncio.create_task(worker.report(courier, uplink_id, positions[start : start + 1_000]))
        for start in range(0, len(positions), 1_000)
    ]
    stream = next(iter(worker.servicer._streams))
    async with asyncio.timeout(20):
        while stream.untold < 1_500:  # noqa: ASYNC110 - what is not told is announced by nothing
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
    # Those that were let in before wait for one commit together; the others wait for the stream.
    assert stream.untold <= 1_500 + MAX_PENDING_OF_ONE + 1_000
    assert sum(one.done() for one in reports) < len(reports)
    uplink.is_reading.set()
    async with asyncio.timeout(20):
        acks = await asyncio.gather(*reports)
    told = [one.seq for ack in acks for one in ack.rejected]
    await uplink.until(lambda: len(uplink.rejected) == len(told))
    assert sorted(seq for seq, _ in uplink.rejected) == sorted(told)


async def test_what_another_worker_rejects_meanwhile_does_not_fill_what_a_stream_has_to_tell(
    world: World, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketd.tracking.uplink.open.MAX_TOLD_AGAIN", 300)
    courier, _ = await world.courier()
    uplink_id, positions = new_id(), flood(A_MINUTE + 2_000, seconds=0)
    await reported(workers[1], courier, uplink_id, positions[:-1_000])
    uplink = workers[0].uplink(courier)
    uplink.stop_reading()
    uplink.hello(uplink_id)
    async with asyncio.timeout(20):
        while not workers[0].servicer._streams:  # noqa: ASYNC110 - the client does not read, so it hears of nothing
            await asyncio.sleep(0.01)
    await workers[1].report(courier, uplink_id, positions[-1_000:])
    uplink.is_reading.set()
    await uplink.acked(A_MINUTE + 1_000)
    assert [seq for seq, _ in uplink.rejected] == list(range(A_MINUTE + 1, A_MINUTE + 1_001))
    (stream,) = workers[0].servicer._streams
    assert stream.untold == 0
