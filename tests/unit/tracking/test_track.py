"""Where the live marker goes: what is flagged, when a flagged fix is believed, and that the marker never goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketd.kernel.values.geo import Point, distance_meters
from marketd.tracking.uplink import track as rules
from marketd.tracking.uplink.track import MANY, Flag, Track, is_artifact, is_plausible
from marketd.tracking.values import MICROS, Fix

NOW = 1_790_000_000 * MICROS
HOME = Point(52.5, 13.4)
LEAP, POOR, BEHIND = Flag.IMPLAUSIBLE_SPEED, Flag.POOR_ACCURACY, Flag.BEHIND_PREDECESSOR
Message: TypeAlias = Sequence[Fix]


def fix(second: float, meters_north: float, *, accuracy: float | None = 5.0, seq: int = 1) -> Fix:
    """A fix `second` after NOW, received when it was sampled, so far north of HOME."""
    return at(second, Point(HOME.latitude + meters_north / 111_195, HOME.longitude), accuracy=accuracy, seq=seq)


def at(second: float, point: Point, *, accuracy: float | None = 5.0, seq: int = 1, ahead: float = 0.0) -> Fix:
    """A fix that counts `second` after NOW; the device's clock is `ahead` seconds in front of the server's."""
    counted = NOW + round(second * MICROS)
    return Fix(seq, counted, counted, point, accuracy, None, None, round(ahead * MICROS))


def ridden(messages: int = 4) -> Track:
    """A track with a few fixes behind its marker, which is at HOME a second before NOW."""
    track = Track()
    for second in range(-messages, 0):
        track.judge([fix(second, 0)])
    return track


def test_good_fixes_move_the_marker_one_by_one() -> None:
    track = Track()
    for second in range(5):
        assert track.judge([fix(second, second * 8)]) == ([0], [fix(second, second * 8)])


def test_all_good_fixes_of_a_message_move_the_marker_in_turn() -> None:
    message = [fix(second, second * 8) for second in range(5)]
    assert Track().judge(message) == ([0] * 5, message)


def test_a_leap_is_flagged_and_forgotten_when_the_next_fix_is_back() -> None:
    track = Track(fix(0, 0))
    assert track.judge([fix(1, 5_000)]) == ([LEAP], [])
    assert track.judge([fix(2, 10)]) == ([0], [fix(2, 10)])
    assert track.candidate is None


@pytest.mark.parametrize("track", [Track(fix(0, 0)), ridden()], ids=["lone", "ridden"])
def test_a_leap_that_the_next_message_confirms_moves_the_marker(track: Track) -> None:
    track.judge([fix(1, 5_000)])
    assert track.judge([fix(2, 5_008)]) == ([0], [fix(2, 5_008)])


def test_leaps_back_and_forth_never_move_the_marker() -> None:
    track = ridden()
    marker = track.marker
    for second, meters in enumerate((9_000, -9_000, 9_000, -9_000), start=1):
        assert track.judge([fix(second, meters)]) == ([LEAP], [])
    assert track.marker == marker


NULL_ISLAND = Point(0.0, 0.0)
FLIPPED = [
    Point(HOME.longitude, HOME.latitude),
    Point(-HOME.latitude, HOME.longitude),
    Point(HOME.latitude, -HOME.longitude),
    Point(-HOME.longitude, -HOME.latitude),
    NULL_ISLAND,
]


@pytest.mark.parametrize("wild", [*FLIPPED, Point(48.0, 2.0)], ids=str)
def test_a_wild_first_fix_is_left_with_the_second_good_one_in_whatever_calls_they_come(wild: Point) -> None:
    good = [fix(second, 0) for second in (1, 2, 3)]
    one_by_one = Track()
    for message in ([at(0, wild)], good[:1]):
        one_by_one.judge(message)
    assert one_by_one.judge(good[1:2]) == ([0], good[1:2])
    assert Track().judge([at(0, wild), *good])[1][-1] == good[2]


def test_a_wild_first_fix_is_left_by_one_message_with_two_good_ones() -> None:
    track = Track(at(0, NULL_ISLAND))
    assert track.judge([fix(1, 0), fix(2, 0)]) == ([LEAP, 0], [fix(2, 0)])


@pytest.mark.parametrize("wild", FLIPPED, ids=str)
@pytest.mark.parametrize("count", [2, 3, 30])
def test_flipped_fixes_in_one_message_do_not_move_the_marker(wild: Point, count: int) -> None:
    for track in (Track(fix(-1, 0)), ridden()):
        marker = track.marker
        flipped = [at(second, wild) for second in range(count)]
        assert track.judge(flipped) == ([LEAP] * count, [])
        assert track.marker == marker
        assert track.judge([fix(count, 0)]) == ([0], [fix(count, 0)])


@pytest.mark.parametrize("wild", FLIPPED, ids=str)
def test_a_receiver_that_flips_for_several_messages_does_not_take_a_ride_along(wild: Point) -> None:
    track = ridden(MANY)
    for second in range(0, MANY, 2):
        assert track.judge([at(second, wild), at(second + 1, wild)])[1] == []
    # Should it never come back, it is the place after all.
    assert track.judge([at(MANY, wild)]) == ([0], [at(MANY, wild)])


def test_a_few_fixes_elsewhere_in_one_message_wait_for_another_one_and_many_do_not() -> None:
    few, many = ridden(), ridden()
    assert few.judge([fix(second, 5_000) for second in range(3)]) == ([LEAP] * 3, [])
    assert few.judge([fix(3, 5_000)]) == ([0], [fix(3, 5_000)])
    flags, moves = many.judge([fix(second, 5_000) for second in range(MANY + 2)])
    assert flags == [LEAP] * (MANY - 1) + [0] * 3
    assert moves == [fix(second, 5_000) for second in range(MANY - 1, MANY + 2)]


def test_a_detour_that_its_message_leaves_again_does_not_move_the_marker_even_when_it_began_before() -> None:
    track = ridden()
    assert track.judge([fix(0, 5_000)]) == ([LEAP], [])
    assert track.judge([fix(1, 5_000), fix(2, 5_000), fix(3, 0)]) == ([LEAP, LEAP, 0], [fix(3, 0)])
    assert track.judge([fix(4, 5_000)]) == ([LEAP], [])
    # The same when what is back is sampled before: it moves nothing, and neither do the others.
    assert track.judge([fix(6, 5_000), fix(7, 5_000), fix(5, 0)]) == ([LEAP, LEAP, BEHIND], [])


def test_in_the_message_of_the_first_marker_the_greater_number_wins() -> None:
    wild = [at(second, FLIPPED[0]) for second in range(2)]
    assert Track().judge([*wild, fix(3, 0), fix(4, 0)])[1] == wild
    flags, moves = Track().judge([*wild, fix(3, 0), fix(4, 0), fix(5, 0)])
    assert (flags, moves) == ([0, 0, LEAP, LEAP, 0], [*wild, fix(5, 0)])


def test_an_inaccurate_fix_moves_the_marker_only_once_the_next_agrees_with_it() -> None:
    track = Track(fix(0, 0))
    blurred = fix(1, 10, accuracy=400.0)
    assert track.judge([blurred]) == ([POOR], [])
    # The next is inaccurate too: it confirms the first, and waits for its own confirmation.
    assert track.judge([fix(2, 30, accuracy=400.0)]) == ([POOR], [blurred])
    assert track.judge([fix(3, 35)]) == ([0], [fix(3, 35)])


def test_inaccurate_fixes_elsewhere_move_the_marker_to_the_one_that_was_confirmed() -> None:
    track = ridden()
    first, second = fix(0, 9_000, accuracy=400.0), fix(1, 9_010, accuracy=400.0)
    assert track.judge([first]) == ([LEAP | POOR], [])
    assert track.judge([second]) == ([POOR], [first])
    assert track.judge([fix(2, 9_020)]) == ([0], [fix(2, 9_020)])


def test_a_backward_clock_flags_the_first_fix_and_the_marker_waits_until_time_has_caught_up() -> None:
    track = Track(fix(100, 0))
    assert track.judge([fix(40, 5)]) == ([BEHIND], [])
    assert track.judge([fix(41, 10)]) == ([0], [])
    assert track.judge([fix(99, 15)]) == ([0], [])
    assert track.judge([fix(101, 20)]) == ([0], [fix(101, 20)])


def test_a_late_fix_never_moves_the_marker() -> None:
    track = Track(fix(10, 0))
    assert track.judge_late(fix(20, 5)) == Flag.OUT_OF_ORDER
    assert track.judge_late(fix(5, 5)) == Flag.OUT_OF_ORDER | BEHIND
    assert track.marker == fix(10, 0)


def test_fixes_of_a_clock_that_is_ahead_count_at_their_arrival_and_still_move_the_marker_one_by_one() -> None:
    track = ridden()
    for arrival in (10, 20, 30):
        message = [
            at(arrival, Point(HOME.latitude + (arrival + n) * 20 / 111_195, HOME.longitude), ahead=30 + n)
            for n in range(10)
        ]
        assert track.judge(message) == ([0] * 10, message)


def test_one_sample_of_a_fast_clock_holds_nothing_back() -> None:
    track = ridden()
    assert track.judge([at(0.2, HOME, ahead=50.0)]) == ([0], [at(0.2, HOME, ahead=50.0)])
    # Sampled before the fast one arrived, received after it.
    assert track.judge([fix(0.1, 1)]) == ([BEHIND], [])
    assert track.judge([fix(1, 5)]) == ([0], [fix(1, 5)])


def test_a_fast_clock_makes_no_leap_plausible() -> None:
    track = ridden()
    assert track.judge([at(0, Point(52.52, 13.4), ahead=50.0)]) == ([LEAP], [])


def test_a_marker_from_elsewhere_is_taken_when_it_is_newer_and_what_waited_before_it_is_over() -> None:
    track = ridden()
    track.judge([fix(1, 9_000)])
    track.adopt(fix(-30, 0))
    assert track.judge([fix(2, 9_000)])[1] == [fix(2, 9_000)]
    track.judge([fix(3, -9_000)])
    track.adopt(fix(4, 9_000))
    assert track.candidate is None
    assert track.judge([fix(5, -9_000)])[1] == []


def test_known_artifacts_are_told_from_other_places() -> None:
    marker = fix(0, 0)
    assert all(is_artifact(marker, at(1, place)) for place in FLIPPED)
    assert not is_artifact(marker, at(1, Point(48.0, 2.0)))
    assert not is_artifact(at(0, NULL_ISLAND), fix(1, 0))


_places = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180))


@given(_places, _places, st.floats(0, 100_000), st.floats(-0.001, 0.001), st.floats(-0.001, 0.001))
def test_what_spares_the_trigonometry_changes_no_judgement(
    here: Point, there: Point, seconds: float, up: float, right: float
) -> None:
    near = Point(min(max(here.latitude + up, -90), 90), min(max(here.longitude + right, -180), 180))
    for other in (there, near):
        earlier, later = at(0, here), at(seconds, other)
        allowed = rules.MAX_SPEED_MPS * (later.sample_micros - earlier.sample_micros) / MICROS + 40.0
        assert is_plausible(earlier, later) is (distance_meters(here, other) <= allowed)


@dataclass(frozen=True)
class _Step:
    second: float
    meters: float
    accuracy: float | None
    ahead: float
    begins_message: bool


_steps = st.lists(
    st.builds(
        _Step,
        second=st.floats(-100, 100),
        meters=st.sampled_from([0.0, 50.0, 9_000.0, 9_050.0, -9_000.0, 3_000_000.0]),
        accuracy=st.one_of(st.none(), st.floats(0, 500)),
        ahead=st.sampled_from([0.0, 0.0, 1.0, 50.0]),
        begins_message=st.booleans(),
    ),
    max_size=40,
)


def _messages(steps: list[_Step]) -> list[list[Fix]]:
    messages: list[list[Fix]] = []
    for number, step in enumerate(steps, start=1):
        made = fix(step.second, step.meters, accuracy=step.accuracy, seq=number)
        if step.begins_message or not messages:
            messages.append([])
        messages[-1].append(made._replace(ahead_micros=round(step.ahead * MICROS)))
    return messages


@given(_steps)
def test_the_marker_never_goes_back_and_stands_at_no_less_than_the_newest_unflagged_fix(steps: list[_Step]) -> None:
    track = Track()
    newest: Fix | None = None
    for message in _messages(steps):
        flags, moves = track.judge(message)
        for marker in moves:
            assert newest is None or marker.sample_micros >= newest.sample_micros
            newest = marker
        assert track.marker == newest
        for judged, flag in zip(message, flags, strict=True):
            assert flag or (newest is not None and judged.sample_micros <= newest.sample_micros)


@given(_steps)
def test_a_track_that_is_rebuilt_from_what_is_stored_goes_on_as_the_one_that_was_kept(steps: list[_Step]) -> None:
    kept, marker = Track(), None
    stored: list[tuple[Fix, int]] = []
    for message in _messages(steps):
        rebuilt = Track(marker)
        rebuilt.restore(stored)
        expected = kept.judge(message)
        assert rebuilt.judge(message) == expected
        stored += zip(message, expected[0], strict=True)
        marker = kept.marker
