"""Watching a delivery live, line by line: one that is on its way, or the next to set out (`marketd demo --watch`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from google.protobuf import timestamp_pb2
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.tracking.v1 import watch_pb2
from marketplace_client import MarketplaceClient, watch_delivery

from marketd.demo.admin import sign_in_admin
from marketd.demo.people import open_client
from marketd.demo.records import DemoOptions
from marketd.demo.watches import WatchDelivery

_PAUSE_SECONDS = 0.5
_RATE_HZ = 1.0
_SILENCE_SECONDS = 10.0
# Long enough for a position of each courier whose device reports.
_LOOK_SECONDS = 3.0
_MOST_LOOKED_AT = 20
# While nobody moves: who is about to set out before who stands still with the goods.
_NEXT_BEST = (
    (delivery_pb2.DELIVERY_STATE_ASSIGNED, delivery_pb2.DELIVERY_STATE_AT_PICKUP),
    (delivery_pb2.DELIVERY_STATE_PICKED_UP,),
    (delivery_pb2.DELIVERY_STATE_AT_DROPOFF,),
)
_UNDERWAY = tuple(state for states in _NEXT_BEST for state in states)
_LIFE = ("position", "state_change", "stop_event")


async def watch_live(
    options: DemoOptions,
    say: Callable[[str], None],
    *,
    silence_seconds: float = _SILENCE_SECONDS,
    look_seconds: float = _LOOK_SECONDS,
) -> None:
    """Say what happens on a delivery until it is closed. Raises CheckFailed and MarketplaceError.

    A delivery of which nothing is heard for silence_seconds is left for one that moves, if one shows a
    position within look_seconds.
    """
    async with open_client(options, options.admin_token) as client:
        await sign_in_admin(client, options, say)
        delivery: delivery_pb2.Delivery | None = await _underway(client, say, look_seconds)
        while delivery is not None:
            say(f"Order {delivery.order_number}, brought by {delivery.courier.first_name}; Ctrl-C ends the watch.")
            delivery = await _watched(client, delivery, say, silence_seconds, look_seconds)


async def _watched(
    client: MarketplaceClient,
    delivery: delivery_pb2.Delivery,
    say: Callable[[str], None],
    silence_seconds: float,
    look_seconds: float,
) -> delivery_pb2.Delivery | None:
    """Say what happens; None when it is closed, another delivery when this one has fallen silent and that one moves."""
    heard = time.monotonic()

    async def read() -> None:
        nonlocal heard
        async for message in watch_delivery(client, delivery.delivery_id, max_rate_hz=_RATE_HZ):
            if message.WhichOneof("event") in _LIFE:
                heard = time.monotonic()
            for line in told(message):
                say(f"{datetime.now().astimezone():%H:%M:%S}  {line}")

    reading, waits = asyncio.create_task(read()), False
    try:
        while not (await asyncio.wait([reading], timeout=max(0.0, heard + silence_seconds - time.monotonic())))[0]:
            if time.monotonic() - heard < silence_seconds:
                continue
            other = await _moving(client, look_seconds, but=delivery.delivery_id)
            if time.monotonic() - heard < silence_seconds:
                continue  # it has moved while others were looked at
            if other is not None:
                say(f"Nothing was heard of this one for {silence_seconds:g} s; another one moves.")
                return other
            if not waits:
                say(f"Nothing was heard of this one for {silence_seconds:g} s, and nobody else moves: waiting …")
            waits, heard = True, time.monotonic()
        reading.result()
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    return None


async def _underway(
    client: MarketplaceClient, say: Callable[[str], None], look_seconds: float
) -> delivery_pb2.Delivery:
    """The delivery to watch; waits until there is one."""
    waiting = False
    while True:
        if (moving := await _moving(client, look_seconds)) is not None:
            return moving
        for states in _NEXT_BEST:
            if found := await _open(client, states, 1):
                return found[0]
        if not waiting:
            say("Nobody is on the way yet: waiting for a courier to set out …")
            waiting = True
        await asyncio.sleep(_PAUSE_SECONDS)


async def _open(
    client: MarketplaceClient, states: Sequence[delivery_pb2.DeliveryState.ValueType], most: int
) -> Sequence[delivery_pb2.Delivery]:
    request = delivery_service_pb2.ListDeliveriesRequest(states=states, page_size=most)
    return (await client.delivery.ListDeliveries(request)).deliveries


async def _moving(client: MarketplaceClient, look_seconds: float, but: str = "") -> delivery_pb2.Delivery | None:
    """The first delivery, of those that are open, whose courier shows a new position.

    An open one may stand still for ever, such as that of a demo which was killed on the way; its times do not tell.
    """
    found = [each for each in await _open(client, _UNDERWAY, _MOST_LOOKED_AT) if each.delivery_id != but]
    looks = {asyncio.create_task(_first_position(client, each.delivery_id)): each for each in found}
    running, end = set(looks), time.monotonic() + look_seconds
    try:
        while running and (left := end - time.monotonic()) > 0:
            done, running = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for look in done:
                if look.result():
                    return looks[look]
    finally:
        for look in looks:
            look.cancel()
        if looks:
            await asyncio.wait(looks)
    return None


async def _first_position(client: MarketplaceClient, delivery_id: str) -> bool:
    """Whether the watch shows a position that is not in its snapshot; False when it ends before."""
    async for message in watch_delivery(client, delivery_id):
        if message.HasField("position"):
            return True
    return False


def told(message: WatchDelivery) -> list[str]:
    """A message of the watch in words; signs of life say nothing."""
    match message.WhichOneof("event"):
        case "snapshot":
            snapshot = message.snapshot
            lines = [_state(snapshot.state)]
            if snapshot.HasField("eta"):
                lines.append(_eta(snapshot.eta))
            return lines + ([_position(snapshot.position)] if snapshot.HasField("position") else [])
        case "state_change":
            return [_state(message.state_change.state)]
        case "position":
            return [_position(message.position)]
        case "eta":
            return [_eta(message.eta.eta)]
        case "stop_event":
            event = watch_pb2.StopEvent.Name(message.stop_event.event).removeprefix("STOP_EVENT_").lower()
            stop = delivery_pb2.StopKind.Name(message.stop_event.stop).removeprefix("STOP_KIND_").lower()
            return [f"{event} at the {stop}" if event == "arrived" else f"{event} from the {stop}"]
        case "late":
            return [f"late: it was promised for {_clock(message.late.due_time)}"]
    return []


def _state(state: delivery_pb2.DeliveryState.ValueType) -> str:
    return delivery_pb2.DeliveryState.Name(state).removeprefix("DELIVERY_STATE_")


def _eta(eta: delivery_pb2.Eta) -> str:
    return f"due at {_clock(eta.expected_time)}"


def _position(position: watch_pb2.LivePosition) -> str:
    speed = f"  {position.speed_mps:.1f} m/s" if position.HasField("speed_mps") else ""
    return f"{position.point.latitude:.5f}, {position.point.longitude:.5f}{speed}"


def _clock(time: timestamp_pb2.Timestamp) -> str:
    return f"{time.ToDatetime(tzinfo=UTC).astimezone():%H:%M:%S}"
