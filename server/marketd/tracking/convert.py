"""Between the contract's tracking messages and ours.

Messages to watchers are serialized here in two parts: the cursor, which differs by delivery and audience, and the body,
which does not. Protobuf allows fields in any order and place, so a message is the one after the other, and a body is
serialized once for all who get it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.delivery.v1 import courier_pb2, delivery_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2, watch_pb2
from marketplace.type.v1 import rating_pb2

from marketd.delivery.states import StopKind
from marketd.delivery.values import Eta
from marketd.kernel.wire import to_latlng, to_timestamp
from marketd.tracking.trip.gate import StopEvent
from marketd.tracking.uplink.judge import MICROS, Fix, Sample
from marketd.tracking.watch.audience import CourierBrief, Followed

Message = tracking_service_pb2.WatchDeliveryResponse
Down = tracking_service_pb2.StreamLocationsResponse
Ping = tracking_service_pb2.Ping

_CURSOR_TAG: Final = b"\x0a"  # field 1, length-delimited


def cursor_part(cursor: bytes) -> bytes:
    """The `cursor` field of a WatchDeliveryResponse; tokens are shorter than 128 bytes."""
    return b"%b%c%b" % (_CURSOR_TAG, len(cursor), cursor)


def read_sample(position: position_pb2.Position) -> Sample:
    """The position as it came. Zero is asked about only where it could mean absence: this runs for each position."""
    time, point = position.sample_time, position.point
    seconds, latitude, longitude = time.seconds, point.latitude, point.longitude
    has_point = latitude or longitude or position.HasField("point")
    return Sample(
        position.seq,
        seconds * MICROS + time.nanos // 1_000 if seconds or position.HasField("sample_time") else None,
        latitude if has_point else None,
        longitude if has_point else None,
        position.accuracy_meters or (0.0 if position.HasField("accuracy_meters") else None),
        position.speed_mps or (0.0 if position.HasField("speed_mps") else None),
        position.heading_degrees or (0.0 if position.HasField("heading_degrees") else None),
        position.is_mock,
        position.battery_percent or (0 if position.HasField("battery_percent") else None),
    )


def timestamp(micros: int) -> Timestamp:
    """A Timestamp of microseconds since the epoch."""
    seconds, rest = divmod(micros, MICROS)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)


def ack(acked_seq: int, rejected: Iterable[tuple[int, int]], now_micros: int) -> position_pb2.Ack:
    """An acknowledgement."""
    return position_pb2.Ack(
        acked_seq=acked_seq,
        rejected=[position_pb2.RejectedPosition(seq=seq, reason=reason) for seq, reason in rejected],  # type: ignore[arg-type]  # the numbers are the enum's own
        server_time=timestamp(now_micros),
    )


def ack_message(acked_seq: int, rejected: Iterable[tuple[int, int]], now_micros: int) -> Down:
    """An acknowledgement on a stream."""
    return Down(ack=ack(acked_seq, rejected, now_micros))


def pong_message(ping: Ping, now_micros: int) -> Down:
    """The answer to a ping; it repeats the client's own time to the nanosecond, if there was one."""
    send_time = ping.send_time if ping.HasField("send_time") else None
    return Down(pong=tracking_service_pb2.Pong(send_time=send_time, server_time=timestamp(now_micros)))


def directive_message(min_interval_seconds: float, mode: str) -> Down:
    """A directive; `mode` is the end of an UplinkMode's name."""
    return Down(
        directive=tracking_service_pb2.Directive(
            min_interval=_duration(round(min_interval_seconds * MICROS)),
            mode=tracking_service_pb2.UplinkMode.Value(f"UPLINK_MODE_{mode}"),
        )
    )


def drain_message(retry_after_seconds: float) -> Down:
    """The word that the server goes down."""
    return Down(drain=tracking_service_pb2.Drain(retry_after=_duration(round(retry_after_seconds * MICROS))))


def position_body(fix: Fix) -> bytes:
    """A `position` message without its cursor."""
    return Message(position=_live_position(fix)).SerializeToString()


def heartbeat_body(now_micros: int) -> bytes:
    """A `heartbeat` message without its cursor."""
    return Message(heartbeat=watch_pb2.Heartbeat(server_time=timestamp(now_micros))).SerializeToString()


def reset_body(reason: str) -> bytes:
    """A `reset` message without its cursor; `reason` is the end of a ResetReason's name."""
    return Message(
        reset=watch_pb2.Reset(reason=watch_pb2.ResetReason.Value(f"RESET_REASON_{reason}"))
    ).SerializeToString()


def snapshot_body(followed: Followed, fix: Fix | None, *, is_late: bool, now_micros: int) -> bytes:
    """A `snapshot` message without its cursor."""
    return Message(
        snapshot=watch_pb2.TrackingSnapshot(
            delivery_id=str(followed.delivery_id),
            order_id=str(followed.order_id),
            state=_state(followed.state),
            outcome=_outcome(followed.outcome),
            courier=_courier(followed.courier),
            position=_live_position(fix) if fix is not None else None,
            eta=_eta(followed.eta) if followed.eta is not None else None,
            pickup_point=to_latlng(followed.pickup) if followed.pickup is not None else None,
            dropoff_point=to_latlng(followed.dropoff) if followed.dropoff is not None else None,
            is_late=is_late,
            server_time=timestamp(now_micros),
        )
    ).SerializeToString()


def state_change_body(
    previous: str, state: str, outcome: str | None, courier: CourierBrief | None, occurred_time: datetime
) -> bytes:
    """A `state_change` message without its cursor."""
    return Message(
        state_change=watch_pb2.StateChange(
            previous_state=_state(previous),
            state=_state(state),
            outcome=_outcome(outcome),
            courier=_courier(courier),
            occurred_time=to_timestamp(occurred_time),
        )
    ).SerializeToString()


def eta_body(eta: Eta) -> bytes:
    """An `eta` message without its cursor."""
    return Message(eta=watch_pb2.EtaUpdate(eta=_eta(eta))).SerializeToString()


def stop_body(stop: StopKind, event: StopEvent, occurred_time: datetime) -> bytes:
    """A `stop_event` message without its cursor."""
    return Message(
        stop_event=watch_pb2.StopUpdate(
            stop=delivery_pb2.StopKind.Value(f"STOP_KIND_{stop}"),
            event=watch_pb2.StopEvent.Value(f"STOP_EVENT_{event}"),
            occurred_time=to_timestamp(occurred_time),
        )
    ).SerializeToString()


def late_body(promised_time: datetime, eta: Eta) -> bytes:
    """A `late` message without its cursor."""
    delay = Duration()
    delay.FromTimedelta(eta.expected_time - promised_time)
    return Message(
        late=watch_pb2.LateNotice(promised_time=to_timestamp(promised_time), eta=_eta(eta), delay=delay)
    ).SerializeToString()


def _live_position(fix: Fix) -> watch_pb2.LivePosition:
    return watch_pb2.LivePosition(
        seq=fix.seq,
        sample_time=timestamp(fix.sample_micros),
        point=to_latlng(fix.point),
        accuracy_meters=fix.accuracy_meters,
        speed_mps=fix.speed_mps,
        heading_degrees=fix.heading_degrees,
        receive_time=timestamp(fix.receive_micros),
    )


def _eta(eta: Eta) -> delivery_pb2.Eta:
    return delivery_pb2.Eta(
        expected_time=to_timestamp(eta.expected_time),
        earliest_time=to_timestamp(eta.earliest_time),
        latest_time=to_timestamp(eta.latest_time),
        estimate_time=to_timestamp(eta.estimate_time),
    )


def _courier(courier: CourierBrief | None) -> delivery_pb2.DeliveryCourier | None:
    if courier is None:
        return None
    return delivery_pb2.DeliveryCourier(
        courier_id=str(courier.courier_id),
        first_name=courier.first_name,
        vehicle=courier_pb2.VehicleType.Value(f"VEHICLE_TYPE_{courier.vehicle}"),
        rating=rating_pb2.RatingSummary(
            average=courier.rating_average,
            count=sum(courier.rating_counts),
            histogram=courier.rating_counts if any(courier.rating_counts) else (),
        ),
    )


def _state(state: str) -> delivery_pb2.DeliveryState.ValueType:
    return delivery_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state or 'UNSPECIFIED'}")


def _outcome(outcome: str | None) -> delivery_pb2.DeliveryOutcome.ValueType:
    return delivery_pb2.DeliveryOutcome.Value(f"DELIVERY_OUTCOME_{outcome or 'UNSPECIFIED'}")


def _duration(micros: int) -> Duration:
    seconds, rest = divmod(micros, MICROS)
    return Duration(seconds=seconds, nanos=rest * 1_000)
