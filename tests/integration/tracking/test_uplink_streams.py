"""StreamLocations and ReportLocations on a real database: every position is acknowledged once, whatever comes."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from marketd.delivery.model import DeliveryState
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import Draining, NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketd.tracking.errors import HelloExpected, OffShift, StreamSuperseded
from marketd.tracking.uplink.judge import Rejection
from marketd.tracking.uplink.position_writer import GATHER_SECONDS
from marketd.tracking.uplink.stream import ACK_SECONDS
from marketd.tracking.uplink.track import Flag
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2

from tests.worlds.calls import caller_of

if TYPE_CHECKING:
    from tests.worlds.tracking import Worker, World


def position(seq: int, at: float, north: float = 0.0, accuracy: float | None = 5.0) -> position_pb2.Position:
    made = position_pb2.Position(seq=seq, accuracy_meters=accuracy)
    made.sample_time.FromMicroseconds(round(at * 1_000_000))
    made.point.latitude, made.point.longitude = 52.53 + north / 111_195, 13.4
    return made


def now() -> float:
    stamp = position_pb2.Position()
    stamp.sample_time.GetCurrentTime()
    return stamp.sample_time.ToMicroseconds() / 1_000_000


def ride(count: int, *, first: int = 1, until: float | None = None) -> list[position_pb2.Position]:
    """A ride northwards at 5 m/s, a position a second, that ends now."""
    end = now() if until is None else until
    return [position(first + n, end - (count - 1 - n), north=5.0 * n) for n in range(count)]


async def test_positions_are_acknowledged_once_they_are_stored(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    await uplink.until(lambda: bool(uplink.answers))
    assert uplink.kinds() == ["ack"]
    begun = time.monotonic()
    for part in range(5):
        uplink.batch(ride(10, first=1 + 10 * part, until=now() - 40 + 10 * part))
        await uplink.acked(10 + 10 * part)
    # A quarter of a second lies between two acknowledgements, and by default a batch is gathered for less.
    assert time.monotonic() - begun >= 0.95
    assert 0 < GATHER_SECONDS < ACK_SECONDS <= 0.25
    assert await world.stored(courier_id) == list(range(1, 51))
    await uplink.finish()
    assert uplink.rejected == []


async def test_bad_positions_are_rejected_one_by_one_and_the_rest_is_kept(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    positions = ride(8)
    positions[1].point.latitude = math.nan
    positions[2].point.longitude = 181
    positions[3].sample_time.FromMicroseconds(round((now() + 120) * 1_000_000))
    positions[4].sample_time.FromMicroseconds(round((now() - 25 * 3600) * 1_000_000))
    positions[5].ClearField("point")
    positions[6].sample_time.seconds = 2**62
    positions.append(position(0, now()))
    uplink.batch(positions)
    await uplink.acked(8)
    await uplink.finish()
    assert sorted(uplink.rejected) == [
        (0, Rejection.SEQ_INVALID),
        (2, Rejection.NOT_FINITE),
        (3, Rejection.OUT_OF_RANGE),
        (4, Rejection.TIME_AHEAD),
        (5, Rejection.TIME_TOO_OLD),
        (6, Rejection.FIELD_MISSING),
        (7, Rejection.TIME_AHEAD),
    ]
    assert await world.stored(courier_id) == [1, 8]


async def test_duplicates_are_acknowledged_in_silence_and_stored_once(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink, uplink_id = worker.uplink(courier), new_id()
    uplink.hello(uplink_id)
    positions = ride(20)
    positions[4].point.latitude = 91
    uplink.batch(positions)
    uplink.batch(positions)
    await uplink.acked(20)
    uplink.batch(positions)
    uplink.batch(ride(1, first=21))
    await uplink.acked(21)
    await uplink.finish()
    assert uplink.rejected == [(5, Rejection.OUT_OF_RANGE)]
    assert await world.stored(courier_id) == [seq for seq in range(1, 22) if seq != 5]


async def test_disorder_is_stored_and_flagged_and_never_moves_the_marker_back(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    positions = ride(30)
    uplink.batch(positions[20:])
    await uplink.acked(30)
    marker = worker.hub.newest(courier_id)
    assert marker is not None
    assert marker.seq == 30
    uplink.batch(reversed(positions[:20]))
    uplink.batch(ride(1, first=31, until=now() + 1))
    await uplink.acked(31)
    await uplink.finish()
    assert await world.stored(courier_id) == list(range(1, 32))
    late = int(Flag.OUT_OF_ORDER | Flag.BEHIND_PREDECESSOR)
    flagged = await world.tx.read(
        lambda unit: unit.connection.fetch("SELECT seq FROM position_points WHERE flags & $1 = $1 ORDER BY seq", late)
    )
    assert [row["seq"] for row in flagged] == list(range(1, 21))


async def test_a_reconnect_goes_on_where_the_database_is_and_tells_lost_rejections_again(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    first, uplink_id = worker.uplink(courier), new_id()
    first.hello(uplink_id)
    positions = ride(40)
    positions[9].point.latitude = 91
    positions[29].point.latitude = 91
    first.batch(positions[:20])
    await first.acked(20)
    first.batch(positions[20:35])
    await first.drop()

    second = worker.uplink(courier)
    # The client saw the acknowledgement of 5 only; it sends all that it has not seen acknowledged.
    second.hello(uplink_id, last_acked_seq=5)
    second.batch(positions[5:])
    await second.acked(40)
    await second.finish()
    assert sorted(second.rejected) == [(10, Rejection.OUT_OF_RANGE), (30, Rejection.OUT_OF_RANGE)]
    assert await world.stored(courier_id) == [seq for seq in range(1, 41) if seq not in (10, 30)]

    third = worker.uplink(courier)
    third.hello(uplink_id, last_acked_seq=40)
    await third.acked(40)
    assert third.rejected == []


async def test_who_claims_to_have_heard_of_more_than_there_is_is_told_of_everything_from_here_on(
    world: World, worker: Worker
) -> None:
    courier, _ = await world.courier()
    uplink, positions = worker.uplink(courier), ride(3)
    positions[1].point.latitude = 91
    uplink.hello(new_id(), last_acked_seq=100)
    uplink.batch(positions)
    await uplink.acked(3)
    assert [seq for seq, _ in uplink.rejected] == [2]


async def test_what_is_rejected_while_a_stream_opens_is_told_on_it(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier, _ = await world.courier()
    uplink_id, positions = new_id(), ride(1)
    positions[0].point.latitude = 91
    run = Transactor.run

    async def run_and_report(self: Transactor, unit: str, *args: Any, **named: Any) -> Any:
        result = await run(self, unit, *args, **named)
        if unit == "tracking.hello":  # what this has read is old when the stream goes on
            await worker.report(courier, uplink_id, positions)
        return result

    monkeypatch.setattr(Transactor, "run", run_and_report)
    uplink = worker.uplink(courier)
    uplink.hello(uplink_id)
    await uplink.acked(1)
    assert uplink.rejected == [(1, Rejection.OUT_OF_RANGE)]


async def test_a_newer_stream_ends_the_older_and_nothing_is_lost(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    older, newer, uplink_id = worker.uplink(courier), worker.uplink(courier), new_id()
    older.hello(uplink_id)
    await older.until(lambda: bool(older.answers))
    older.batch(ride(10))
    newer.hello(uplink_id)
    with pytest.raises(StreamSuperseded):
        await older.task
    newer.batch(ride(20))
    await newer.acked(20)
    assert await world.stored(courier_id) == list(range(1, 21))


async def test_a_report_says_of_every_position_what_became_of_it_also_when_it_is_repeated(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    uplink_id = new_id()
    positions = ride(1000)
    positions[499].point.latitude = math.inf
    for _ in range(2):
        ack = await worker.report(courier, uplink_id, positions)
        assert ack.acked_seq == 1000
        assert {entry.seq: int(entry.reason) for entry in ack.rejected} == {500: Rejection.NOT_FINITE}
    assert len(await world.stored(courier_id)) == 999


async def test_a_stream_and_reports_of_one_uplink_at_once_store_everything_once(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink, uplink_id = worker.uplink(courier), new_id()
    uplink.hello(uplink_id)
    positions = ride(300)
    reports = [worker.report(courier, uplink_id, positions[start : start + 120]) for start in (0, 60, 180)]
    for start in range(0, 300, 50):
        uplink.batch(positions[start : start + 100])
    acks = await asyncio.gather(*reports)
    assert [list(ack.rejected) for ack in acks] == [[], [], []]
    await uplink.acked(300)
    assert await world.stored(courier_id) == list(range(1, 301))


async def test_the_first_message_must_be_hello_and_no_other(world: World, worker: Worker) -> None:
    courier, _ = await world.courier()
    impolite = worker.uplink(courier)
    impolite.batch(ride(1))
    with pytest.raises(HelloExpected):
        await impolite.task
    twice = worker.uplink(courier)
    twice.hello(new_id())
    twice.hello(new_id())
    with pytest.raises(HelloExpected):
        await twice.task


async def test_a_courier_who_is_not_on_shift_is_refused_and_one_whose_shift_ends_is_ended(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    uplink.batch(ride(3))
    await uplink.acked(3)
    await world.end_shift(courier_id)
    worker.feed.wake(courier_id)
    with pytest.raises(OffShift):
        await asyncio.wait_for(uplink.task, 5)
    refused = worker.uplink(courier)
    refused.hello(new_id())
    with pytest.raises(OffShift) as off:
        await refused.task
    assert off.value.metadata == {"courierId": str(courier_id)}
    with pytest.raises(OffShift):
        await worker.report(courier, new_id(), ride(1))


async def test_an_account_without_a_courier_reports_nothing(world: World, worker: Worker) -> None:
    nobody = caller_of(new_id(), Role.COURIER)
    uplink = worker.uplink(nobody)
    uplink.hello(new_id())
    with pytest.raises(NotFound):
        await uplink.task
    with pytest.raises(NotFound):
        await worker.report(nobody, new_id(), ride(1))


async def test_pings_are_answered_and_a_courier_above_the_rate_is_told_and_not_cut_off(
    world: World, worker: Worker
) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    ping = tracking_service_pb2.Ping()
    ping.send_time.seconds = 77
    uplink.send(ping=ping)
    await uplink.until(lambda: "pong" in uplink.kinds())
    pong = next(answer.pong for answer in uplink.answers if answer.HasField("pong"))
    assert pong.send_time.seconds == 77
    start = now() - 4
    uplink.batch([position(seq, start + seq / 50) for seq in range(1, 201)])
    await uplink.until(lambda: "directive" in uplink.kinds())
    directive = next(answer.directive for answer in uplink.answers if answer.HasField("directive"))
    assert directive.mode == tracking_service_pb2.UPLINK_MODE_THROTTLED
    assert directive.min_interval.ToMilliseconds() == 200
    uplink.batch([position(seq, start + seq / 50) for seq in range(201, 203)])
    await uplink.acked(202)
    assert len(await world.stored(courier_id)) == 202


async def test_times_ahead_of_the_clock_make_nobody_slow(world: World, worker: Worker) -> None:
    courier, _ = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    for first, ahead in ((1, 0.0), (41, 50.0)):
        uplink.batch([position(seq, now() + ahead) for seq in range(first, first + 40)])
    await uplink.until(lambda: "directive" in uplink.kinds())
    directive = next(answer.directive for answer in uplink.answers if answer.HasField("directive"))
    assert directive.mode == tracking_service_pb2.UPLINK_MODE_THROTTLED


async def test_pings_that_come_too_fast_are_not_all_answered(world: World, worker: Worker) -> None:
    courier, _ = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    await uplink.until(lambda: bool(uplink.answers))
    uplink.stop_reading()
    for second in range(100):
        uplink.send(ping={"send_time": {"seconds": second}})
    async with asyncio.timeout(10):
        while uplink.unread:  # noqa: ASYNC110 - that the server has read is announced by nothing
            await asyncio.sleep(0)
    uplink.is_reading.set()
    await uplink.finish()
    answered = [answer.pong.send_time.seconds for answer in uplink.answers if answer.HasField("pong")]
    assert len(answered) <= 20
    assert answered[-16:] == list(range(84, 100))


async def test_a_courier_is_told_when_somebody_begins_and_ceases_to_wait(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    await uplink.until(lambda: bool(uplink.answers))
    bringing = await world.delivery(courier_id)
    await uplink.until(lambda: uplink.kinds().count("directive") == 1)
    await world.step(bringing.delivery_id, DeliveryState.PICKED_UP)
    await world.step(bringing.delivery_id, DeliveryState.CLOSED)
    await uplink.until(lambda: uplink.kinds().count("directive") == 2)
    told = [answer.directive for answer in uplink.answers if answer.HasField("directive")]
    assert [(each.mode, each.min_interval.ToMilliseconds()) for each in told] == [
        (tracking_service_pb2.UPLINK_MODE_LIVE, 200),
        (tracking_service_pb2.UPLINK_MODE_IDLE, 10_000),
    ]


async def test_a_drain_says_so_acknowledges_what_is_there_and_ends(world: World, worker: Worker) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    uplink.batch(ride(5))
    await uplink.until(lambda: bool(uplink.answers))
    await worker.built.drain()
    with pytest.raises(Draining):
        await asyncio.wait_for(uplink.task, 5)
    assert "drain" in uplink.kinds()
    assert uplink.acked_seq == len(await world.stored(courier_id))


async def test_nothing_is_acknowledged_while_the_database_refuses_and_all_of_it_after(
    world: World, worker: Worker, database_url: str
) -> None:
    courier, courier_id = await world.courier()
    uplink = worker.uplink(courier)
    uplink.hello(new_id())
    await uplink.until(lambda: bool(uplink.answers))
    blocker = await asyncpg.connect(database_url)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE position_ledger IN ACCESS EXCLUSIVE MODE")
            for part in range(30):
                uplink.batch(ride(200, first=1 + 200 * part, until=now() - 6000 + 200 * part))
            # The uplink's own room is 2,000 positions; the rest is not even read, however long the loop turns.
            async with asyncio.timeout(5):
                while uplink.unread > 20:  # noqa: ASYNC110 - that somebody does not read is announced by nothing
                    await asyncio.sleep(0)
            for _ in range(200):
                await asyncio.sleep(0)
            assert uplink.unread > 10
            assert uplink.acked_seq == 0
    finally:
        await blocker.close()
    await uplink.acked(6000)
    assert await world.stored(courier_id) == list(range(1, 6001))
    assert uplink.rejected == []
