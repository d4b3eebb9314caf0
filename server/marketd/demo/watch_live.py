"""Watching a delivery live, line by line: one that is on its way, or the next to set out (`marketd demo --watch`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
# The best to watch first: who has the goods is shown moving.
_UNDERWAY = (
    (delivery_pb2.DELIVERY_STATE_PICKED_UP,),
    (delivery_pb2.DELIVERY_STATE_ASSIGNED, delivery_pb2.DELIVERY_STATE_AT_PICKUP),
    (delivery_pb2.DELIVERY_STATE_AT_DROPOFF,),
)


async def watch_live(options: DemoOptions, say: Callable[[str], None]) -> None:
    """Say what happens on a delivery until it is closed. Raises CheckFailed and MarketplaceError."""
    async with open_client(options, options.admin_token) as client:
        if options.admin_token is None:
            await sign_in_admin(client, options, say)
        delivery = await _underway(client, say)
        say(f"Order {delivery.order_number}, brought by {delivery.courier.first_name}; Ctrl-C ends the watch.")
        async for message in watch_delivery(client, delivery.delivery_id, max_rate_hz=_RATE_HZ):
            for line in told(message):
                say(f"{datetime.now().astimezone():%H:%M:%S}  {line}")


async def _underway(client: MarketplaceClient, say: Callable[[str], None]) -> delivery_pb2.Delivery:
    """A delivery that is on its way; waits until there is one."""
    waiting = False
    while True:
        for states in _UNDERWAY:
            request = delivery_service_pb2.ListDeliveriesRequest(states=states, page_size=1)
            found = (await client.delivery.ListDeliveries(request)).deliveries
            if found:
                return found[0]
        if not waiting:
            say("Nobody is on the way yet: waiting for a courier to set out …")
            waiting = True
        await asyncio.sleep(_PAUSE_SECONDS)


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
            return [f"late: it was promised for {_clock(message.late.promised_time)}"]
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
