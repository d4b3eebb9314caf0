"""What a server does of tracking by the clock as it is set, and where nobody has to wait for the clock."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from marketd.delivery.estimate import band
from marketd.delivery.model import StopKind
from marketd.delivery.servicer import DeliveryServicer
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import Draining
from marketd.kernel.events.broadcast import LocalBroadcast
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.ids import new_id
from marketd.tracking.trip.gate import StopEvent
from marketd.tracking.trip.journal import Journal, write_findings
from marketd.tracking.trip.trip import AtStop, Late, Leg, TripFinding
from marketd.tracking.values import micros
from marketplace.delivery.v1.delivery_service_pb2 import WatchDeliveriesRequest

from tests.integration.units import transactor
from tests.integration.wires import Wire
from tests.worlds.built import Built
from tests.worlds.parts import make_parts
from tests.worlds.tracking import run_worker
from tests.worlds.tracking_clients import PICKUP, now_seconds, position

if TYPE_CHECKING:
    from tests.worlds.tracking import Bringing, World


async def test_quiet_watches_of_a_server_hear_that_it_lives_within_the_time_that_clients_wait(world: World) -> None:
    """Every ten seconds: a client takes a stream for dead that misses three."""
    courier, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    parts = make_parts(world.tx)
    servicer = Built(parts, "delivery").servicer(DeliveryServicer)

    async def device() -> None:
        calls.enter(Call(caller=courier))
        stream = servicer.WatchDeliveries(WatchDeliveriesRequest(), None)  # type: ignore[arg-type]
        assert [(await anext(stream)).WhichOneof("event") for _ in range(2)] == ["snapshot", "heartbeat"]
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator

    async with asyncio.timeout(25), run_worker(world.tx, LocalBroadcast(), times=None) as server:
        listening = asyncio.create_task(device())
        buyer = server.watch(bringing.buyer, bringing.delivery_id)
        await buyer.until(lambda: "heartbeat" in buyer.kinds(), 25)
        await listening


async def test_nobody_who_waits_for_an_answer_waits_until_a_batch_is_gathered(world: World) -> None:
    courier, courier_id = await world.courier()
    async with asyncio.timeout(60), run_worker(world.tx, LocalBroadcast(), times={"gather_seconds": 3_600.0}) as server:
        assert (await server.report(courier, new_id(), [position(1, now_seconds() - 30)])).acked_seq == 1
        ending = server.uplink(courier)
        ending.hello(new_id())
        ending.batch([position(1, now_seconds() - 20)])
        await ending.finish()
        assert ending.acked_seq == 1
        draining = server.uplink(courier)
        draining.hello(new_id())
        await draining.until(lambda: bool(draining.answers))
        draining.batch([position(1, now_seconds() - 10)])
        # What was sent before a ping was read before its pong.
        draining.send(ping={})
        await draining.until(lambda: "pong" in draining.kinds())
        await server.built.drain()
        with pytest.raises(Draining):
            await draining.task
        assert draining.acked_seq == 1
        assert await world.stored(courier_id) == [1, 1, 1]


async def test_what_a_trip_found_out_is_written_although_a_commit_is_lost_and_another_finding_is_a_bug(
    world: World, database_url: str
) -> None:
    _, courier_id = await world.courier()
    bringing = await world.delivery(courier_id)
    at = micros(SystemClock().now())
    leg = Leg(bringing.delivery_id, bringing.order_id, courier_id, False, PICKUP, None)
    arrived = AtStop(leg, StopKind.PICKUP, StopEvent.ARRIVED, at)
    eta = band(SystemClock().now(), SystemClock().now() + timedelta(hours=2))
    late = Late(leg, eta.expected_time - timedelta(hours=1), eta)
    async with Wire(database_url) as wire, transactor(wire.url) as far:
        # Two workers may find the same.
        journals = [Journal(far), Journal(world.tx)]
        tasks = [asyncio.create_task(each.run()) for each in journals]
        journals[0].add([AtStop(leg, StopKind.PICKUP, StopEvent.ARRIVED, 10**20)])
        await asyncio.sleep(0)
        wire.lose(b"COMMIT")
        journals[0].add([arrived, late])
        journals[1].add([late])
        async with asyncio.timeout(30):
            while await told(world, bringing) != ["delivery.arrived", "delivery.late"]:  # noqa: ASYNC110 - a commit
                await asyncio.sleep(0.02)
        for task in tasks:
            assert not task.done()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    again: list[TripFinding] = [late, arrived, late]
    await world.tx.run("test.again", lambda uow: write_findings(uow, again))
    assert await told(world, bringing) == ["delivery.arrived", "delivery.late"]


async def told(world: World, bringing: Bringing) -> list[str]:
    """What was told of stops and delays."""
    rows = await world.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT event_type FROM outbox_events WHERE aggregate_id = $1"
            " AND event_type IN ('delivery.arrived', 'delivery.late') ORDER BY event_type",
            bringing.delivery_id,
        )
    )
    return [row["event_type"] for row in rows]
