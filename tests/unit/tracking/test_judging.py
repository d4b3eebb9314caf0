"""The judgement on positions: what is rejected and why, what is flagged, and what moves the live marker."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketd.kernel.values.geo import Point
from marketd.tracking.uplink.judge import (
    AHEAD_MICROS,
    OLD_MICROS,
    Flag,
    Rejection,
    Sample,
    Track,
    rejection,
)
from marketd.tracking.values import MICROS, Fix, instant, micros
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


def fix(second: float, meters_north: float, *, accuracy: float | None = 5.0, seq: int = 1) -> Fix:
    """A fix `second` after NOW, so far north of the start."""
    at = NOW + round(second * MICROS)
    return Fix(seq, at, at, Point(52.5 + meters_north / 111_195, 13.4), accuracy, None, None)


def test_good_fixes_move_the_marker_one_by_one() -> None:
    track = Track()
    for second in range(5):
        flags, marker = track.judge(fix(second, second * 8))
        assert flags == 0
        assert marker is not None
        assert marker.sample_micros == NOW + second * MICROS


def test_a_jump_is_flagged_and_forgotten_when_the_next_fix_is_back() -> None:
    track = Track(fix(0, 0))
    assert track.judge(fix(1, 5_000)) == (Flag.IMPLAUSIBLE_SPEED, None)
    flags, marker = track.judge(fix(2, 10))
    assert (flags, marker) == (0, fix(2, 10))
    assert track.candidate is None


def test_a_jump_that_the_next_fix_confirms_moves_the_marker() -> None:
    track = Track(fix(0, 0))
    track.judge(fix(1, 5_000))
    assert track.judge(fix(2, 5_008)) == (0, fix(2, 5_008))


def test_a_jump_back_and_forth_never_moves_the_marker() -> None:
    track = Track(fix(0, 0))
    for second, meters in enumerate((9_000, -9_000, 9_000, -9_000), start=1):
        assert track.judge(fix(second, meters)) == (Flag.IMPLAUSIBLE_SPEED, None)
    assert track.marker == fix(0, 0)


def test_an_inaccurate_fix_moves_the_marker_only_once_the_next_agrees_with_it() -> None:
    track = Track(fix(0, 0))
    blurred = fix(1, 10, accuracy=400.0)
    assert track.judge(blurred) == (Flag.POOR_ACCURACY, None)
    # The next is inaccurate too: it confirms the first, and waits for its own confirmation.
    assert track.judge(fix(2, 30, accuracy=400.0)) == (Flag.POOR_ACCURACY, blurred)
    assert track.judge(fix(3, 35)) == (0, fix(3, 35))


def test_a_backward_clock_flags_the_first_fix_and_the_marker_waits_until_time_has_caught_up() -> None:
    track = Track(fix(100, 0))
    assert track.judge(fix(40, 5)) == (Flag.BEHIND_PREDECESSOR, None)
    assert track.judge(fix(41, 10)) == (0, None)
    assert track.judge(fix(99, 15)) == (0, None)
    assert track.judge(fix(101, 20)) == (0, fix(101, 20))


def test_a_late_fix_never_moves_the_marker() -> None:
    track = Track(fix(10, 0))
    assert track.judge_late(fix(20, 5)) == Flag.OUT_OF_ORDER
    assert track.judge_late(fix(5, 5)) == Flag.OUT_OF_ORDER | Flag.BEHIND_PREDECESSOR
    assert track.marker == fix(10, 0)


@dataclass(frozen=True)
class _Step:
    second: float
    meters: float
    accuracy: float | None


_steps = st.lists(
    st.builds(
        _Step,
        second=st.floats(-100, 100),
        meters=st.floats(-20_000, 20_000),
        accuracy=st.one_of(st.none(), st.floats(0, 500)),
    ),
    max_size=40,
)


@given(_steps)
def test_the_marker_never_goes_back_and_only_trusted_fixes_move_it(steps: list[_Step]) -> None:
    track = Track()
    newest = None
    flagged: set[Fix] = set()
    for number, step in enumerate(steps, start=1):
        judged = fix(step.second, step.meters, accuracy=step.accuracy, seq=number)
        flags, marker = track.judge(judged)
        if flags:
            flagged.add(judged)
        if marker is not None:
            assert newest is None or marker.sample_micros > newest
            assert marker != judged or not flags
            # Whatever moves the marker is this fix or the one that it confirms.
            assert marker.seq in (number, number - 1)
            newest = marker.sample_micros


def test_instants_come_back_to_the_microsecond() -> None:
    at = datetime(2026, 11, 22, 21, 3, 4, 123_457, UTC)
    assert instant(micros(at)) == at
    assert micros(at) % MICROS == 123_457
