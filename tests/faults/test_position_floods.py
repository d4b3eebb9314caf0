"""A courier at thousands of positions a second on a real server is bounded, and a day's backlog in one go is whole.

The control is a server whose rate nobody can exceed: there the flood is stored as it comes.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.type import latlng_pb2
from marketd.tracking.uplink.density import DENSE
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2
from marketplace.tracking.v1.tracking_service_pb2 import StreamLocationsRequest
from marketplace_client import MarketplaceClient, MarketplaceError

from tests.worlds.faults import World
from tests.worlds.lines import Account
from tests.worlds.served import Served
from tests.worlds.things import new_key

pytestmark = pytest.mark.usefixtures("both_workers")

A_MINUTE = 5 * 60 * DENSE
WORKERS = 2
Send: TypeAlias = Callable[[MarketplaceClient, str, Sequence[position_pb2.Position]], Awaitable[Counter[int]]]
RATE_EXCEEDED = position_pb2.REJECTION_REASON_RATE_EXCEEDED


def sampled(first_seq: int, times: Sequence[float]) -> list[position_pb2.Position]:
    """A position for each of these seconds since the epoch."""
    return [
        position_pb2.Position(
            seq=first_seq + n,
            sample_time=timestamp_pb2.Timestamp(seconds=int(at), nanos=int(at % 1 * 1_000_000) * 1_000),
            point=latlng_pb2.LatLng(latitude=52.53, longitude=13.40),
            accuracy_meters=5,
        )
        for n, at in enumerate(times)
    ]


def flood(first_seq: int, count: int) -> list[position_pb2.Position]:
    """So many positions of the second that ends now."""
    end = time.time()
    return sampled(first_seq, [end - 1 + (n + 1) / count for n in range(count)])


async def stream(client: MarketplaceClient, uplink_id: str, positions: Sequence[position_pb2.Position]) -> Counter[int]:
    """Send them as fast as the connection takes them, whatever the server asks; the rejections by reason.

    It ends when everything is acknowledged.
    """
    rejected: Counter[int] = Counter()
    done = asyncio.Event()

    async def messages() -> AsyncIterator[StreamLocationsRequest]:
        yield StreamLocationsRequest(hello=tracking_service_pb2.Hello(uplink_id=uplink_id))
        for start in range(0, len(positions), 200):
            batch = position_pb2.PositionBatch(positions=positions[start : start + 200])
            yield StreamLocationsRequest(batch=batch)
        await done.wait()

    async for answer in client.tracking.StreamLocations(messages()):
        rejected.update(one.reason for one in answer.ack.rejected)
        if answer.ack.acked_seq >= positions[-1].seq:
            done.set()
    assert done.is_set()
    return rejected


async def report(client: MarketplaceClient, uplink_id: str, positions: Sequence[position_pb2.Position]) -> Counter[int]:
    """The same by ReportLocations, a thousand a call; a call that is refused for its own rate waits and is repeated."""
    rejected: Counter[int] = Counter()
    for start in range(0, len(positions), 1000):
        batch = position_pb2.PositionBatch(positions=positions[start : start + 1000])
        request = tracking_service_pb2.ReportLocationsRequest(uplink_id=uplink_id, batch=batch)
        while True:
            try:
                ack = (await client.tracking.ReportLocations(request)).ack
            except MarketplaceError as error:
                if error.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(error.retry_after or 0.1)
            else:
                break
        assert ack.acked_seq == batch.positions[-1].seq
        rejected.update(one.reason for one in ack.rejected)
    return rejected


async def stored(world: World, courier_id: str) -> int:
    """How many positions of the courier are stored."""
    count = await world.sql("SELECT count(*) FROM position_points WHERE courier_id = $1::text::uuid", courier_id)
    return int(count)


def client_of(world: World, courier: Account) -> MarketplaceClient:
    """A connection of the courier's own."""
    return MarketplaceClient(f"127.0.0.1:{world.port}", access_token=courier.token)


async def test_a_flood_is_bounded_and_what_was_sampled_before_it_is_stored_whole(world: World) -> None:
    async with world.lines(4) as lines:
        courier, courier_id = await world.courier(lines)
    async with client_of(world, courier) as client:
        uplink_id, now = new_key(), time.time()
        kept = sampled(1, [now - 7200 + n for n in range(3_000)])
        assert await stream(client, uplink_id, kept) == {}
        rejected = await stream(client, uplink_id, flood(3_001, 4_000))
        assert await report(client, new_key(), kept[:1_000]) == {}
    taken = 4_000 - rejected.total()
    assert rejected.keys() == {RATE_EXCEEDED}
    assert A_MINUTE <= taken <= 2 * A_MINUTE
    assert await stored(world, courier_id) == 3_000 + taken + 1_000


@pytest.fixture(scope="module")
def unbounded() -> Iterator[Served]:
    """A server of its own whose rate nobody can exceed."""
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        Path(folder).chmod(0o755)
        server = Served(Path(folder), workers=1, settings={"MARKETD_POSITION_RATE_HZ": "1e9"})
        try:
            server.start()
            server.create_admin()
            yield server
        finally:
            server.stop()
            server.forget()


async def flood_for(seconds: float, world: World) -> tuple[int, int]:
    """16,000 positions a second through a stream, reports and reconnects; how many were stored, and acknowledged."""
    async with world.lines(4) as lines:
        courier, courier_id = await world.courier(lines)
    end, sent = time.monotonic() + seconds, 0

    async def go(client: MarketplaceClient, *, is_streamed: bool) -> None:
        nonlocal sent
        send = stream if is_streamed else report
        while time.monotonic() < end:
            positions = flood(1, 8_000)
            with suppress(MarketplaceError):  # the newer stream ends the older
                await send(client, new_key(), positions)
                sent += len(positions)

    async with client_of(world, courier) as one, client_of(world, courier) as two, asyncio.TaskGroup() as group:
        group.create_task(go(one, is_streamed=True))
        group.create_task(go(two, is_streamed=False))
    return await stored(world, courier_id), sent


@pytest.mark.faults
@pytest.mark.alone
async def test_a_courier_at_16_000_positions_a_second_is_bounded_however_they_come(
    served: Served, world: World, unbounded: Served
) -> None:
    begun = time.time()
    taken, sent = await flood_for(10.0, world)
    minutes = int(time.time() // 60) - int((begun - 1) // 60) + 1
    assert taken <= minutes * A_MINUTE * WORKERS
    assert sent > 3 * taken
    control = await World.build(unbounded.port, unbounded.database_url)
    taken, _ = await flood_for(5.0, control)
    assert taken > 2 * A_MINUTE * WORKERS


@pytest.mark.faults
@pytest.mark.parametrize("hz", [1, 5])
@pytest.mark.parametrize("send", [stream, report], ids=["stream", "reports"])
async def test_a_days_backlog_in_one_go_is_stored_whole(world: World, send: Send, hz: int) -> None:
    async with world.lines(4) as lines:
        courier, courier_id = await world.courier(lines)
    # The oldest must not become too old on the way.
    oldest, count = time.time() - 86_400 + 120, 86_400 - 120
    async with client_of(world, courier) as client:
        assert await send(client, new_key(), sampled(1, [oldest + n / hz for n in range(count)])) == {}
    assert await stored(world, courier_id) == count
