"""The judgement on positions: what is rejected and why, and what devices mean by what they send."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from marketd.tracking.uplink.convert import from_position
from marketd.tracking.uplink.judge import (
    AHEAD_MICROS,
    NO_INSTANT,
    OLD_MICROS,
    Rejection,
    Sample,
    rejection,
)
from marketd.tracking.values import MICROS, instant, micros
from marketplace.tracking.v1 import position_pb2

NOW = 1_790_000_000 * MICROS


def sample(**changes: Any) -> Sample:
    return Sample(1, NOW, 52.5, 13.4)._replace(**changes)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (sample(seq=0), Rejection.SEQ_INVALID),
        (sample(seq=-5), Rejection.SEQ_INVALID),
        (sample(sample_micros=None), Rejection.FIELD_MISSING),
        (sample(latitude=None, longitude=None), Rejection.FIELD_MISSING),
        (sample(latitude=math.nan), Rejection.NOT_FINITE),
        (sample(longitude=math.inf), Rejection.NOT_FINITE),
        (sample(speed_mps=-math.inf), Rejection.NOT_FINITE),
        (sample(accuracy_meters=math.nan), Rejection.NOT_FINITE),
        (sample(heading_degrees=math.nan), Rejection.NOT_FINITE),
        (sample(latitude=90.001), Rejection.OUT_OF_RANGE),
        (sample(longitude=-180.5), Rejection.OUT_OF_RANGE),
        (sample(accuracy_meters=-1.0), Rejection.OUT_OF_RANGE),
        (sample(speed_mps=-0.1), Rejection.OUT_OF_RANGE),
        (sample(heading_degrees=361.0), Rejection.OUT_OF_RANGE),
        (sample(battery_percent=101), Rejection.OUT_OF_RANGE),
        (sample(sample_micros=NOW + AHEAD_MICROS + 1), Rejection.TIME_AHEAD),
        (sample(sample_micros=2**62 * MICROS), Rejection.TIME_AHEAD),
        (sample(sample_micros=NOW - OLD_MICROS - 1), Rejection.TIME_TOO_OLD),
        (sample(sample_micros=-(2**62)), Rejection.TIME_TOO_OLD),
        (sample(sample_micros=NO_INSTANT), Rejection.OUT_OF_RANGE),
    ],
)
def test_a_bad_position_is_rejected_with_its_reason(bad: Sample, reason: Rejection) -> None:
    assert rejection(bad, NOW) is reason


@pytest.mark.parametrize(
    "good",
    [
        sample(),
        sample(latitude=0.0, longitude=0.0),
        sample(latitude=-90.0, longitude=180.0),
        sample(sample_micros=NOW + AHEAD_MICROS),
        sample(sample_micros=NOW - OLD_MICROS),
        sample(accuracy_meters=0.0, speed_mps=0.0, heading_degrees=360.0, battery_percent=0),
    ],
)
def test_a_position_on_the_edge_of_what_is_allowed_is_taken(good: Sample) -> None:
    assert rejection(good, NOW) is None


def test_the_reasons_are_those_of_the_contract() -> None:
    contract = {name.removeprefix("REJECTION_REASON_"): number for name, number in position_pb2.RejectionReason.items()}
    assert contract == {"UNSPECIFIED": 0} | {reason.name: reason.value for reason in Rejection}


def sent(**fields: Any) -> position_pb2.Position:
    """A good position but for these fields; `nanos` and `seconds` are those of its sample time."""
    position = position_pb2.Position(seq=1)
    position.sample_time.seconds = fields.pop("seconds", NOW // MICROS)
    position.sample_time.nanos = fields.pop("nanos", 0)
    position.point.latitude, position.point.longitude = 52.5, 13.4
    for field, value in fields.items():
        setattr(position, field, value)
    return position


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("accuracy_meters", (-1.0, -0.5, -100.0, -1e30)),
        ("speed_mps", (-1.0, -0.1, -3.6)),
        ("heading_degrees", (-1.0, -180.0)),
        ("battery_percent", (-1, -100)),
    ],
)
def test_a_negative_value_means_that_the_device_does_not_know(field: str, values: tuple[float, ...]) -> None:
    assert getattr(from_position(sent()), field) is None
    for value in values:
        came = from_position(sent(**{field: value}))
        assert getattr(came, field) is None
        assert rejection(came, NOW) is None


def test_zero_is_a_value_like_any_other() -> None:
    came = from_position(sent(accuracy_meters=0.0, speed_mps=0.0, heading_degrees=-0.0, battery_percent=0))
    assert (came.accuracy_meters, came.speed_mps, came.heading_degrees, came.battery_percent) == (0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize("field", ["accuracy_meters", "speed_mps", "heading_degrees"])
def test_what_is_no_number_is_judged_and_not_taken_for_unknown(field: str) -> None:
    for value in (math.nan, -math.inf):
        assert rejection(from_position(sent(**{field: value})), NOW) is Rejection.NOT_FINITE


@pytest.mark.parametrize("nanos", [-1, -2_000_000_000, 1_000_000_000, 2_147_483_647])
def test_nanos_that_are_none_are_judged_and_do_not_shift_the_time(nanos: int) -> None:
    assert rejection(from_position(sent(nanos=nanos)), NOW) is Rejection.OUT_OF_RANGE
    assert rejection(from_position(sent(seconds=0, nanos=nanos)), NOW) is Rejection.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (2**63 - 1, Rejection.TIME_AHEAD),
        (253_402_300_800, Rejection.TIME_AHEAD),
        (-62_135_596_801, Rejection.TIME_TOO_OLD),
        (-(2**63), Rejection.TIME_TOO_OLD),
    ],
)
def test_seconds_of_no_calendar_are_judged(seconds: int, reason: Rejection) -> None:
    assert rejection(from_position(sent(seconds=seconds, nanos=999_999_999)), NOW) is reason


def test_instants_come_back_to_the_microsecond() -> None:
    at = datetime(2026, 11, 22, 21, 3, 4, 123_457, UTC)
    assert instant(micros(at)) == at
    assert micros(at) % MICROS == 123_457
