"""The courier's uplink where something goes wrong: silence, refusals, a closed block, a mistake of the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng
from marketplace.tracking.v1 import tracking_service_pb2 as pb
from marketplace.tracking.v1.position_pb2 import Ack, Position
from marketplace_client import CourierUplink, MarketplaceError, Outcome, uplink
from marketplace_client.ledger import Ledger

from tests.worlds.client_script import Came, Script, asking

NOW = Timestamp(seconds=1_700_000_000, nanos=5_000)
Down = pb.StreamLocationsResponse


class Server:
    """Acknowledges what comes; the test says to what of a stream it stays silent."""

    def __init__(self, silent: Callable[[int, str], bool] = lambda number, kind: False) -> None:
        self.hellos: list[pb.Hello] = []
        self.batches: list[list[Position]] = []
        self.directives: list[Duration] = []
        self.came_again = asyncio.Event()
        self.script = Script(StreamLocations=self._answer)
        self._silent = silent
        self._acked = 0

    async def _answer(self, call: Came) -> AsyncIterator[Message]:
        async for message in call.messages:
            kind = message.WhichOneof("message")
            if kind == "hello":
                self.hellos.append(message.hello)
                if call.number == 2:
                    self.came_again.set()
            else:
                self.batches.append(list(message.batch.positions))
            if self._silent(call.number, kind):
                continue
            if kind == "batch":
                self._acked = message.batch.positions[-1].seq
            yield Down(ack=Ack(acked_seq=self._acked))
            while self.directives:
                directive = pb.Directive(min_interval=self.directives.pop(0), mode=pb.UPLINK_MODE_IDLE)
                yield Down(directive=directive)


async def test_a_position_goes_up_whole_under_the_name_of_its_device() -> None:
    server = Server()
    async with asyncio.timeout(20), asking(server.script) as client:
        async with CourierUplink(client, device_id="phone", uplink_id="u") as sender:
            await sender.send(
                52.5,
                13.4,
                NOW,
                accuracy_meters=4.0,
                speed_mps=3.0,
                heading_degrees=90.0,
                mocked=True,
                battery_percent=17,
            )
        # Leaving the block waits for what is under way.
        assert (sender.stored, sender.unacknowledged) == (1, 0)
        with pytest.raises(RuntimeError, match="closed"):
            await sender.send(52.5, 13.4, NOW)
    assert server.hellos == [pb.Hello(uplink_id="u", device_id="phone")]
    whole = Position(
        seq=1,
        sample_time=NOW,
        point=LatLng(latitude=52.5, longitude=13.4),
        accuracy_meters=4.0,
        speed_mps=3.0,
        heading_degrees=90.0,
        mocked=True,
        battery_percent=17,
    )
    assert server.batches == [[whole]]


@pytest.mark.parametrize("kind", ["hello", "batch"])
async def test_a_stream_that_is_owed_an_answer_and_gets_none_is_left_for_another(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(uplink, "_ACK_SECONDS", 0.2)
    server = Server(lambda number, what: number == 1 and (kind == "hello" or what == kind))
    async with asyncio.timeout(20), asking(server.script) as client, CourierUplink(client) as sender:
        if kind == "batch":
            await sender.send(52.5, 13.4, NOW)
        await server.came_again.wait()
        await sender.send(52.5, 13.4, NOW)
        await sender.flush()
        assert sender.stored == len({position.seq for batch in server.batches for position in batch})


async def test_nobody_waits_for_ever_when_the_uplink_is_refused() -> None:
    refuse = asyncio.Event()

    async def answer(call: Came) -> AsyncIterator[Message]:
        await call.message()
        yield Down(ack=Ack())
        await refuse.wait()
        await call.refuse(grpc.StatusCode.FAILED_PRECONDITION, "COURIER_OFF_SHIFT")

    async with (
        asyncio.timeout(20),
        asking(Script(StreamLocations=answer)) as client,
        CourierUplink(client, capacity=1) as sender,
    ):
        await sender.send(52.5, 13.4, NOW)
        waiting = [asyncio.create_task(sender.send(52.5, 13.4, NOW)), asyncio.create_task(sender.flush())]
        await asyncio.sleep(0)
        refuse.set()
        for task in (*waiting, sender.send(52.5, 13.4, NOW), sender.flush()):
            with pytest.raises(MarketplaceError) as refused:
                await task
            assert refused.value.reason == "COURIER_OFF_SHIFT"


async def test_leaving_waits_no_longer_than_it_was_told() -> None:
    server = Server(lambda number, kind: kind == "batch")
    async with asyncio.timeout(20), asking(server.script) as client:
        async with CourierUplink(client, close_timeout=0.2) as sender:
            await sender.send(52.5, 13.4, NOW)
        assert sender.unacknowledged == 1


async def test_a_mistake_of_whoever_listens_is_raised_where_the_block_is_left_and_holds_up_nobody() -> None:
    def listen(outcome: Outcome) -> None:
        raise ZeroDivisionError

    async def send(sender: CourierUplink) -> None:
        async with sender:
            await sender.send(52.5, 13.4, NOW)
            with pytest.raises(RuntimeError, match="mistake"):
                await sender.flush()
            with pytest.raises(RuntimeError, match="mistake"):
                await sender.send(52.5, 13.4, NOW)

    async with asyncio.timeout(20), asking(Server().script) as client:
        with pytest.raises(ZeroDivisionError):
            await send(CourierUplink(client, on_outcome=listen))


async def test_no_message_holds_more_than_the_contract_allows_and_a_newer_directive_ends_the_wait_for_an_older() -> (
    None
):
    server = Server()
    server.directives.append(Duration(seconds=3_600))
    directives: asyncio.Queue[uplink.Directive] = asyncio.Queue()
    async with (
        asyncio.timeout(20),
        asking(server.script) as client,
        CourierUplink(client, batch_size=10_000, on_directive=directives.put_nowait) as sender,
    ):
        first = await directives.get()
        assert (first.min_interval_seconds, first.mode) == (3_600.0, pb.UPLINK_MODE_IDLE)
        server.directives.append(Duration(nanos=1_000_000))
        for _ in range(450):
            await sender.send(52.5, 13.4, NOW)
        await sender.flush()
        assert sender.directive == uplink.Directive(0.001, pb.UPLINK_MODE_IDLE)
    assert sum(map(len, server.batches)) == 450
    assert max(map(len, server.batches)) <= 200


def test_an_acknowledgement_never_goes_back() -> None:
    ledger = Ledger(10)
    for _ in range(3):
        ledger.take(Position())
    for acked in (2, 1):
        ledger.acknowledge(Ack(acked_seq=acked))
    assert (ledger.acked_seq, len(ledger)) == (2, 1)


async def test_pauses_grow_while_nothing_is_acknowledged_and_begin_anew_when_something_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paused: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float) -> None:
        paused.append(delay)
        await sleep(0)

    async def answer(call: Came) -> AsyncIterator[Message]:
        async for message in call.messages:
            if message.WhichOneof("message") == "hello":
                yield Down(ack=Ack())
                if call.number in (1, 2, 3):
                    break
            else:
                yield Down(ack=Ack(acked_seq=call.number - 3))
                if call.number == 4:
                    break
        if call.number < 5:
            await call.refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING")

    async with asyncio.timeout(20), asking(Script(StreamLocations=answer)) as client:
        monkeypatch.setattr(asyncio, "sleep", noted)
        async with CourierUplink(client) as sender:
            for _ in range(2):
                await sender.send(52.5, 13.4, NOW)
            await sender.flush()
    longest: list[Any] = [0.1, 0.2, 0.4, 0.1]
    assert all(most / 2 <= seconds <= most for seconds, most in zip(paused, longest, strict=True)), paused
