"""Between the contract's uplink messages and ours."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Final, Literal

from google.protobuf.duration_pb2 import Duration
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2

from marketd.kernel.enums import EnumMap
from marketd.kernel.wire import micros_to_timestamp
from marketd.tracking.uplink.judge import NO_INSTANT, Sample
from marketd.tracking.uplink.sending_rate import UplinkMode
from marketd.tracking.values import MICROS

Down = tracking_service_pb2.StreamLocationsResponse
Ping = tracking_service_pb2.Ping

_MODES: Final = EnumMap(UplinkMode, tracking_service_pb2.UplinkMode)


def from_position(position: position_pb2.Position) -> Sample:
    """The position as it came. Zero is asked about only where it could mean absence: this runs for each position."""
    time, point = position.sample_time, position.point
    seconds, nanos, latitude, longitude = time.seconds, time.nanos, point.latitude, point.longitude
    accuracy, speed, heading = position.accuracy_meters, position.speed_mps, position.heading_degrees
    battery = position.battery_percent
    has_point = latitude or longitude or position.HasField("point")
    micros = seconds * MICROS + nanos // 1_000 if 0 <= nanos < 1_000_000_000 else NO_INSTANT
    return Sample(
        position.seq,
        micros if seconds or position.HasField("sample_time") else None,
        latitude if has_point else None,
        longitude if has_point else None,
        accuracy if accuracy > 0.0 else _known(position, "accuracy_meters", accuracy),
        speed if speed > 0.0 else _known(position, "speed_mps", speed),
        heading if heading > 0.0 else _known(position, "heading_degrees", heading),
        position.mocked,
        battery if battery > 0 or (battery == 0 and position.HasField("battery_percent")) else None,
    )


def _known(
    position: position_pb2.Position,
    field: Literal["accuracy_meters", "speed_mps", "heading_degrees"],
    value: float,
) -> float | None:
    """What a value that is not above zero says. A negative one is how devices spell "unknown", and not only -1: iOS
    documents any, and multiplies a battery of -1 to -100 on its way. What is no number at all stays, to be judged.
    """
    if value == 0.0:
        return 0.0 if position.HasField(field) else None
    return None if isfinite(value) else value


def ack(acked_seq: int, rejected: Iterable[tuple[int, int]], now_micros: int) -> position_pb2.Ack:
    """An acknowledgement. rejected: (number, reason), lowest number first."""
    return position_pb2.Ack(
        acked_seq=acked_seq,
        rejected=[position_pb2.RejectedPosition(seq=seq, reason=reason) for seq, reason in rejected],  # type: ignore[arg-type]  # the numbers are the enum's own
        server_time=micros_to_timestamp(now_micros),
    )


def ack_message(acked_seq: int, rejected: Iterable[tuple[int, int]], now_micros: int) -> Down:
    """The same on a stream."""
    return Down(ack=ack(acked_seq, rejected, now_micros))


def pong_message(ping: Ping, now_micros: int) -> Down:
    """The answer to a ping; it repeats the client's own time to the nanosecond, if there was one."""
    send_time = ping.send_time if ping.HasField("send_time") else None
    return Down(pong=tracking_service_pb2.Pong(send_time=send_time, server_time=micros_to_timestamp(now_micros)))


def directive_message(min_interval_seconds: float, mode: UplinkMode) -> Down:
    """How often the courier shall send from now on."""
    return Down(
        directive=tracking_service_pb2.Directive(
            min_interval=_duration(round(min_interval_seconds * MICROS)),
            mode=_MODES.to_wire(mode),
        )
    )


def drain_message(retry_after_seconds: float) -> Down:
    """The word that the server goes down."""
    return Down(drain=tracking_service_pb2.Drain(retry_after=_duration(round(retry_after_seconds * MICROS))))


def _duration(micros: int) -> Duration:
    seconds, rest = divmod(micros, MICROS)
    return Duration(seconds=seconds, nanos=rest * 1_000)
