"""The courier's uplink against a scripted server: one outcome a position, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from grpc_status import rpc_status
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2
from marketplace.tracking.v1.tracking_service_pb2_grpc import (
    TrackingServiceServicer,
    add_TrackingServiceServicer_to_server,
)
from marketplace_client import CourierUplink, MarketplaceClient, MarketplaceError, Outcome
from marketplace_client.ledger import Ledger

Down = tracking_service_pb2.StreamLocationsResponse
Ack = position_pb2.Ack
NOW = timestamp_pb2.Timestamp(seconds=1_700_000_000)


class Tracker(TrackingServiceServicer):
    """Stores numbers once; rejects every tenth; breaks the first streams after as many batches as told."""

    def __init__(self, *, breaks: int = 0, drains: int = 0, superseded: bool = False) -> None:
        self.breaks, self.drains, self.superseded = breaks, drains, superseded
        self.received: set[int] = set()
        self.hellos: list[tuple[str, int]] = []
        self.batches: list[int] = []
        self.interval: float | None = None

    def _ack(self, after: int) -> Any:
        top = max(self.received, default=0)
        rejected = [
            position_pb2.RejectedPosition(seq=seq, reason=position_pb2.REJECTION_REASON_TIME_TOO_OLD)
            for seq in sorted(self.received)
            if seq > after and seq % 10 == 0
        ]
        return Down(ack=Ack(acked_seq=top, rejected=rejected))

    async def StreamLocations(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the rpc's name
        acked = 0
        async for request in requests:
            if request.WhichOneof("message") == "hello":
                self.hellos.append((request.hello.uplink_id, request.hello.last_acked_seq))
                acked = request.hello.last_acked_seq
                yield self._ack(acked)
                if self.superseded:
                    info = error_details_pb2.ErrorInfo(reason="STREAM_SUPERSEDED", domain="marketplace.dev")
                    status = status_pb2.Status(code=grpc.StatusCode.ABORTED.value[0], message="newer")
                    status.details.add().Pack(info)
                    await context.abort_with_status(rpc_status.to_status(status))
                if self.interval is not None:
                    interval = duration_pb2.Duration()
                    interval.FromTimedelta(timedelta(seconds=self.interval))
                    yield Down(
                        directive=tracking_service_pb2.Directive(
                            min_interval=interval,
                            mode=tracking_service_pb2.UPLINK_MODE_THROTTLED,
                        )
                    )
                continue
            self.batches.append(len(request.batch.positions))
            self.received.update(position.seq for position in request.batch.positions)
            if self.breaks > 0:
                # Stored, but the answer is lost: the uplink must learn it on the next stream.
                self.breaks -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            if self.drains > 0:
                self.drains -= 1
                yield Down(drain=tracking_service_pb2.Drain(retry_after=duration_pb2.Duration(nanos=10_000_000)))
            yield self._ack(acked)
            acked = max(self.received)


def new_tracker(*, breaks: int = 0, drains: int = 0, superseded: bool = False) -> Tracker:
    """A tracker; rpcs it does not write answer UNIMPLEMENTED."""
    return Tracker(breaks=breaks, drains=drains, superseded=superseded)  # type: ignore[abstract]  # stubs only


@asynccontextmanager
async def tracking(tracker: Tracker) -> AsyncIterator[MarketplaceClient]:
    """A client of the scripted server."""
    server = grpc.aio.server()
    add_TrackingServiceServicer_to_server(tracker, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with MarketplaceClient(f"127.0.0.1:{port}") as client:
            yield client
    finally:
        await server.stop(None)


def check_once(outcomes: list[Outcome], count: int) -> None:
    """Each number has exactly one outcome, in order, and every tenth is a rejection."""
    assert [outcome.seq for outcome in outcomes] == list(range(1, count + 1))
    assert [outcome.seq for outcome in outcomes if not outcome.is_stored] == list(range(10, count + 1, 10))


@pytest.mark.parametrize("breaks", [0, 3])
async def test_every_position_gets_one_outcome_also_when_streams_break_before_they_answer(breaks: int) -> None:
    tracker, outcomes = new_tracker(breaks=breaks), list[Outcome]()
    async with (
        tracking(tracker) as client,
        CourierUplink(client, batch_size=20, on_outcome=outcomes.append) as uplink,
    ):
        for _ in range(95):
            await uplink.send(52.5, 13.4, NOW)
        await uplink.flush(20)
        assert (uplink.stored, uplink.rejected, uplink.last_acked_seq) == (86, 9, 95)
    check_once(outcomes, 95)
    assert tracker.received == set(range(1, 96))
    assert len(tracker.hellos) == breaks + 1
    assert len({uplink_id for uplink_id, _ in tracker.hellos}) == 1


async def test_a_drain_lets_the_acknowledgement_come_and_goes_on_over_a_new_stream() -> None:
    tracker, outcomes = new_tracker(drains=1), list[Outcome]()
    async with (
        tracking(tracker) as client,
        CourierUplink(client, capacity=10, on_outcome=outcomes.append) as uplink,
    ):
        for _ in range(30):
            await uplink.send(52.5, 13.4, NOW)
        await uplink.flush(20)
    check_once(outcomes, 30)
    assert [last for _, last in tracker.hellos] == [0, 10]


async def test_a_newer_stream_of_the_same_courier_ends_the_uplink() -> None:
    async with tracking(new_tracker(superseded=True)) as client, CourierUplink(client) as uplink:
        await uplink.send(52.5, 13.4, NOW)
        with pytest.raises(MarketplaceError) as caught:
            await uplink.flush(20)
        assert caught.value.reason == "STREAM_SUPERSEDED"


async def test_a_directive_bundles_positions_and_drops_none() -> None:
    tracker = new_tracker()
    tracker.interval = 0.2
    directed = asyncio.Event()
    async with (
        tracking(tracker) as client,
        CourierUplink(client, on_directive=lambda _: directed.set()) as uplink,
    ):
        await asyncio.wait_for(directed.wait(), 10)
        for _ in range(50):
            await uplink.send(52.5, 13.4, NOW)
        await uplink.flush(20)
    assert sum(tracker.batches) == 50
    assert len(tracker.batches) <= 2


def backlog(count: int, apart_seconds: int) -> list[position_pb2.Position]:
    """Positions that were kept for later, sampled this far apart."""
    times = [timestamp_pb2.Timestamp(seconds=NOW.seconds + number * apart_seconds) for number in range(count)]
    return [position_pb2.Position(sample_time=time) for time in times]


@pytest.mark.parametrize(("apart_seconds", "goes_at_once"), [(60, True), (59, False)])
async def test_a_backlog_waits_for_the_directives_interval_only_when_it_was_sampled_more_often(
    apart_seconds: int, goes_at_once: bool
) -> None:
    tracker = new_tracker()
    tracker.interval = 60
    directed = asyncio.Event()
    async with (
        tracking(tracker) as client,
        CourierUplink(client, batch_size=10, close_timeout=0, on_directive=lambda _: directed.set()) as uplink,
    ):
        await asyncio.wait_for(directed.wait(), 10)
        for position in backlog(30, apart_seconds):
            await uplink.send_position(position)
        if goes_at_once:
            await uplink.flush(20)
        else:
            with pytest.raises(TimeoutError):
                await uplink.flush(0.5)
    assert tracker.batches == ([10, 10, 10] if goes_at_once else [10])


async def test_a_full_buffer_makes_the_sender_wait_for_acknowledgements() -> None:
    async with tracking(new_tracker()) as client, CourierUplink(client, capacity=5) as uplink:
        for _ in range(40):
            await asyncio.wait_for(uplink.send(52.5, 13.4, NOW), 10)
            assert uplink.unacknowledged <= 5
        await uplink.flush(20)


def test_a_rejection_that_comes_before_its_acknowledgement_counts_once() -> None:
    outcomes = list[Outcome]()
    ledger = Ledger(10, outcomes.append)
    for _ in range(3):
        ledger.take(position_pb2.Position())
    early = position_pb2.RejectedPosition(seq=2, reason=position_pb2.REJECTION_REASON_NOT_FINITE)
    ledger.acknowledge(Ack(acked_seq=1, rejected=[early]))
    ledger.acknowledge(Ack(acked_seq=3, rejected=[early]))
    ledger.acknowledge(Ack(acked_seq=3, rejected=[early]))
    assert [(outcome.seq, outcome.is_stored) for outcome in outcomes] == [(1, True), (2, False), (3, True)]
    assert len(ledger) == 0
