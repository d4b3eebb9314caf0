"""Recorded traces as values: a time for every point, moving them in time, and where they begin and end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from marketd.demo.defaults import TRACE
from marketd.demo.traces.points import Recording, Sample, TraceError, TracePoint, ends, shifted_to_end, timed, waits
from marketd.demo.traces.read import read_trace

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def recording(*seconds: float | None) -> Recording:
    """Fixes at these seconds from NOW; None has no time."""
    return Recording([Sample(None if s is None else NOW + timedelta(seconds=s), 52.0, 13.0) for s in seconds])


@pytest.mark.parametrize(
    ("given", "filled", "says"),
    [
        ((0, 5, 3), [0, 5, 3], []),
        ((None, None, 10), [8, 9, 10], ["2 without a time before the first time: counted back from it, a second each"]),
        ((0, None, None, 9), [0, 3, 6, 9], ["2 without a time between two times: spread between them"]),
        ((0, None, -9), [0, 1, -9], ["1 without a time between two times: spread between them"]),
        ((0, None, None), [0, 1, 2], ["2 without a time after the last time: counted on from it, a second each"]),
    ],
)
def test_every_point_gets_a_time_and_what_was_made_is_said(
    given: tuple[float | None, ...], filled: list[float], says: list[str]
) -> None:
    trace = timed(recording(*given))
    assert [(point.time - NOW).total_seconds() for point in trace.points] == filled
    assert (list(trace.notes), trace.times_made) == (says, given.count(None))


def test_points_that_all_lack_a_time_are_a_second_apart() -> None:
    trace = timed(recording(None, None, None))
    assert waits(trace.points) == [0.0, 1.0, 1.0]
    assert trace.times_made == 3
    assert "second apart" in trace.notes[0]


def test_a_trace_ends_now_keeps_its_spacing_and_never_lies_ahead() -> None:
    seconds = [0, 5, 3, 100_000, 99_990]
    points = [TracePoint(NOW - timedelta(days=900) + timedelta(seconds=s), 52.0, 13.0) for s in seconds]
    moved = shifted_to_end(points, NOW)
    assert max(point.time for point in moved) == NOW
    assert [(a.time - b.time) for a, b in zip(moved, points, strict=True)] == [moved[0].time - points[0].time] * 5


def test_backward_clocks_do_not_wait_and_long_gaps_are_played_short() -> None:
    points = [TracePoint(NOW + timedelta(seconds=s), 52.0, 13.0) for s in (0, 5, 3, 100_000)]
    assert waits(points) == [0.0, 5.0, 0.0, 60.0]


def test_the_ends_of_a_trace_are_places_on_earth() -> None:
    nowhere = TracePoint(NOW, float("nan"), 0.0)
    far = TracePoint(NOW, 400.0, 0.0)
    here, there = TracePoint(NOW, 1.0, 2.0), TracePoint(NOW, 3.0, 4.0)
    assert ends([nowhere, here, there, far]) == (here, there)
    with pytest.raises(TraceError):
        ends([nowhere, far])


def test_the_ride_that_comes_along_is_about_six_minutes_long() -> None:
    trace = read_trace(TRACE)
    assert 300 <= (trace.points[-1].time - trace.points[0].time).total_seconds() <= 420
    assert all(point.is_on_earth for point in trace.points)
    assert (trace.left_out, trace.times_made, list(trace.notes)) == (0, 0, [])
