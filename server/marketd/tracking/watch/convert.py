"""Our values as the contract's messages to watchers, serialized in two parts.

The resume token differs by delivery and audience; the body does not, so it is serialized once for all who get it.
Protobuf allows fields in any order and place, so a message is the one after the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from google.protobuf.duration_pb2 import Duration
from marketplace.tracking.v1 import tracking_service_pb2, watch_pb2
from marketplace.type.v1.watch_pb2 import Heartbeat

from marketd.delivery.convert import DELIVERY_STATES, OUTCOMES, STOP_KINDS, to_delivery_courier, to_eta
from marketd.delivery.model import DeliveryOutcome, DeliveryState, StopKind
from marketd.delivery.values import DeliveryCourier, Eta
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import ResetReason
from marketd.kernel.wire import micros_to_timestamp, to_latlng, to_stream_reset, to_timestamp
from marketd.tracking.trip.gate import StopEvent
from marketd.tracking.values import Fix
from marketd.tracking.watch.values import Audience, WatchedDelivery

Message = tracking_service_pb2.WatchDeliveryResponse

_STOP_EVENTS: Final = EnumMap(StopEvent, watch_pb2.StopEvent)
_TOKEN_TAG: Final = b"\x0a"  # field 1, length-delimited


def token_part(token: bytes) -> bytes:
    """The `resume_token` field of a WatchDeliveryResponse; tokens are shorter than 128 bytes."""
    return b"%b%c%b" % (_TOKEN_TAG, len(token), token)


def position_body(fix: Fix) -> bytes:
    """A `position` message without its token."""
    return Message(position=_live_position(fix)).SerializeToString()


def heartbeat_body(now_micros: int) -> bytes:
    """A `heartbeat` message without its token."""
    return Message(heartbeat=Heartbeat(server_time=micros_to_timestamp(now_micros))).SerializeToString()


def reset_body(reason: ResetReason) -> bytes:
    """A `reset` message without its token."""
    return Message(reset=to_stream_reset(reason)).SerializeToString()


def snapshot_body(
    watched: WatchedDelivery, audience: Audience, fix: Fix | None, *, late: bool, now_micros: int
) -> bytes:
    """A `snapshot` message without its token."""
    pickup_point, dropoff_point = watched.points(audience)
    return Message(
        snapshot=watch_pb2.TrackingSnapshot(
            delivery_id=str(watched.delivery_id),
            order_id=str(watched.order_id),
            state=DELIVERY_STATES.to_wire(watched.state),
            outcome=OUTCOMES.optional_to_wire(watched.outcome),
            courier=to_delivery_courier(watched.courier) if watched.courier is not None else None,
            position=_live_position(fix) if fix is not None else None,
            eta=to_eta(watched.eta) if watched.eta is not None else None,
            pickup_point=to_latlng(pickup_point) if pickup_point is not None else None,
            dropoff_point=to_latlng(dropoff_point) if dropoff_point is not None else None,
            late=late,
            server_time=micros_to_timestamp(now_micros),
        )
    ).SerializeToString()


def state_change_body(
    previous: DeliveryState | None,
    state: DeliveryState,
    outcome: DeliveryOutcome | None,
    courier: DeliveryCourier | None,
    occurred_time: datetime,
) -> bytes:
    """A `state_change` message without its token."""
    return Message(
        state_change=watch_pb2.StateChange(
            previous_state=DELIVERY_STATES.optional_to_wire(previous),
            state=DELIVERY_STATES.to_wire(state),
            outcome=OUTCOMES.optional_to_wire(outcome),
            courier=to_delivery_courier(courier) if courier is not None else None,
            occurred_time=to_timestamp(occurred_time),
        )
    ).SerializeToString()


def eta_body(eta: Eta) -> bytes:
    """An `eta` message without its token."""
    return Message(eta=watch_pb2.EtaUpdate(eta=to_eta(eta))).SerializeToString()


def stop_body(stop: StopKind, event: StopEvent, occurred_time: datetime) -> bytes:
    """A `stop_event` message without its token."""
    return Message(
        stop_event=watch_pb2.StopUpdate(
            stop=STOP_KINDS.to_wire(stop),
            event=_STOP_EVENTS.to_wire(event),
            occurred_time=to_timestamp(occurred_time),
        )
    ).SerializeToString()


def late_body(due_time: datetime, eta: Eta) -> bytes:
    """A `late` message without its token."""
    delay = Duration()
    delay.FromTimedelta(eta.expected_time - due_time)
    return Message(
        late=watch_pb2.LateNotice(due_time=to_timestamp(due_time), eta=to_eta(eta), delay=delay)
    ).SerializeToString()


def _live_position(fix: Fix) -> watch_pb2.LivePosition:
    return watch_pb2.LivePosition(
        seq=fix.seq,
        sample_time=micros_to_timestamp(fix.sample_micros),
        point=to_latlng(fix.point),
        accuracy_meters=fix.accuracy_meters,
        speed_mps=fix.speed_mps,
        heading_degrees=fix.heading_degrees,
        receive_time=micros_to_timestamp(fix.receive_micros),
    )
