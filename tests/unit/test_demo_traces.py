"""Reading recorded traces and moving them in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from marketd.demo.defaults import TRACE
from marketd.demo.trace_errors import TraceError
from marketd.demo.traces import TracePoint, ends, read_trace, shifted_to_end, waits

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def write(folder: Path, name: str, text: str) -> Path:
    """A trace file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_geolife_file_keeps_its_order_and_times(tmp_path: Path) -> None:
    text = "\n".join(["x"] * 6) + (
        "\n39.978092,116.326801,0,144,39748.4,2008-10-27,11:16:34\n39.9,116.4,0,38,39748.4,2008-10-27,11:16:30\n"
    )
    points = read_trace(write(tmp_path, "t.plt", text))
    assert [point.time for point in points] == [
        datetime(2008, 10, 27, 11, 16, 34, tzinfo=UTC),
        datetime(2008, 10, 27, 11, 16, 30, tzinfo=UTC),
    ]
    assert (points[0].latitude, points[0].longitude) == (39.978092, 116.326801)


def test_a_posmo_file_with_nanoseconds_and_unknown_accuracy_is_read(tmp_path: Path) -> None:
    text = (
        "user_id;longitude;latitude;accuracy;tracked_at\n"
        "0;7.0389004;47.0516249;0.0;2019-01-25 20:00:16.178999901\n"
        "0;7.0;nan;16.0;2019-01-25 20:00:24\n"
    )
    first, second = read_trace(write(tmp_path, "t.csv", text))
    assert first.accuracy_meters is None
    assert first.time == datetime(2019, 1, 25, 20, 0, 16, 178999, tzinfo=UTC)
    assert second.accuracy_meters == 16.0
    assert not second.is_on_earth


@pytest.mark.parametrize("time", ["1767225600", "1767225600000", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"])
def test_a_csv_may_tell_times_in_seconds_milliseconds_or_iso(tmp_path: Path, time: str) -> None:
    (point,) = read_trace(write(tmp_path, "t.csv", f"timestamp,lat,lon,speed\n{time},52.5,13.4,4.2\n"))
    assert point.time == datetime(2026, 1, 1, tzinfo=UTC)
    assert point.speed_mps == 4.2


def test_a_gpx_point_without_a_time_comes_a_second_after_the_one_before(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0"?><gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
        '<trkpt lat="52.5" lon="13.4"><time>2026-01-01T00:00:00Z</time></trkpt><trkpt lat="52.6" lon="13.5"/>'
        "</trkseg></trk></gpx>"
    )
    first, second = read_trace(write(tmp_path, "t.gpx", text))
    assert (second.time - first.time) == timedelta(seconds=1)
    assert (second.latitude, second.longitude) == (52.6, 13.5)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("t.csv", "a,b\n1,2\n", "latitude"),
        ("t.csv", "lat,lon,time\n52,x,2026-01-01\n", "line 2"),
        ("t.csv", "lat,lon,time\n52,13,noon\n", "no time"),
        ("t.csv", "lat,lon,time\n52,13,inf\n", "no time"),
        ("t.csv", "", "no points"),
        ("t.plt", "x\n" * 6 + "1,2\n", "line 7"),
        ("t.gpx", "<gpx", "GPX"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_the_place(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read_trace(write(tmp_path, name, text))


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot read"):
        read_trace(tmp_path / "none.csv")


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
    points = read_trace(TRACE)
    assert 300 <= (points[-1].time - points[0].time).total_seconds() <= 420
    assert all(point.is_on_earth for point in points)
