"""Trace files as loggers write them: taken, or refused by the name of what was found; never a Python traceback."""

from __future__ import annotations

import codecs
import gzip
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from marketd.demo.traces.points import Trace, TraceError, ends, shifted_to_end
from marketd.demo.traces.read import read_trace

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "import-cases" / "traces"
START = datetime(2026, 1, 1, tzinfo=UTC)
GEOLIFE = "Geolife trajectory\nWGS 84\nAltitude is in Feet\nReserved 3\n0,2,255,My Track,0,0,2,8421376\n0\n"
ROWS = "".join(f"52.50{n},13.40{n},0,160,46023.0,2026-01-01,00:00:0{n}\n" for n in range(5))


def gpx(points: str, prefix: str = "") -> str:
    """A GPX file with these points in one track."""
    space = f'xmlns{prefix and ":" + prefix[:-1]}="http://www.topografix.com/GPX/1/1"'
    track = f"<{prefix}trk><{prefix}trkseg>{points}</{prefix}trkseg></{prefix}trk>"
    return f'<?xml version="1.0"?>\n<{prefix}gpx version="1.1" {space}>{track}</{prefix}gpx>\n'


TRACK = gpx(
    '<trkpt lat="52.5" lon="13.4"><ele>-</ele><time>2026-01-01T00:00:00Z</time></trkpt>\n'
    '<trkpt lat="52.6" lon="13.5"><time>2026-01-01T01:00:05+01:00</time></trkpt>'
)


def read(folder: Path, name: str, content: str | bytes) -> Trace:
    """The trace of a file with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_trace(path)


def seconds(trace: Trace) -> list[float]:
    """When its points are, from START."""
    return [(point.time - START).total_seconds() for point in trace.points]


# -- PLT


@pytest.mark.parametrize(
    ("header", "notes"),
    [
        (GEOLIFE, []),
        ("", ["no header lines instead of 6"]),
        ("lat,lon,na,alt,date-float,date,time\n", ["1 header line instead of 6"]),
    ],
)
def test_a_plt_is_whole_whatever_stands_above_its_data(tmp_path: Path, header: str, notes: list[str]) -> None:
    trace = read(tmp_path, "t.plt", header + ROWS)
    assert seconds(trace) == [0, 1, 2, 3, 4]
    assert (trace.points[0].latitude, trace.points[0].longitude) == (52.5, 13.4)
    assert list(trace.notes) == notes


def test_a_broken_first_line_of_a_plt_is_not_taken_for_a_header(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"line 1: '2026-01-01 noon' is no time"):
        read(tmp_path, "t.plt", ROWS.replace("00:00:00", "noon", 1))


# -- GPX


def test_a_gpx_file_is_read_also_with_prefixes_and_what_else_is_in_it_does_not_matter(tmp_path: Path) -> None:
    plain = read(tmp_path, "t.gpx", TRACK)
    assert seconds(plain) == [0, 5]
    prefixed = TRACK.replace("<", "<g:").replace("<g:/", "</g:").replace("<g:?", "<?").replace("xmlns=", "xmlns:g=")
    assert read(tmp_path, "t.gpx", prefixed) == plain
    assert read(tmp_path, "renamed.csv", TRACK) == plain


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"), ("utf-16-le", b"")]
)
def test_utf_16_is_read_and_said(tmp_path: Path, encoding: str, mark: bytes) -> None:
    declared = TRACK.replace('version="1.0"', 'version="1.0" encoding="UTF-16"', 1)
    table = "latitude\tlongitude\ttime\n52.5\t13.4\t2026-01-01T00:00:00Z\n52.6\t13.5\t2026-01-01T00:00:05Z\n"
    for name, text in (("t.gpx", declared), ("t.csv", table)):
        trace = read(tmp_path, name, mark + text.encode(encoding))
        assert seconds(trace) == [0, 5]
        assert any("UTF-16" in note for note in trace.notes)


def test_points_of_a_gpx_without_a_place_are_left_out_and_those_without_a_time_get_one(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        "t.gpx",
        gpx(
            '<trkpt lat="52.4" lon="13.4"/><trkpt lon="1"/>'
            '<trkpt lat="52.5" lon="13.4"><time>2026-01-01T00:00:00Z</time></trkpt><trkpt lat="52.6" lon="13.4"/>'
        ),
    )
    assert seconds(trace) == [-1, 0, 1]
    assert (trace.left_out, trace.times_made) == (1, 2)
    assert "1 without a fix left out" in trace.notes[0]


def test_a_gpx_file_that_declares_entities_is_refused_before_they_grow(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 20))
    bomb = TRACK.replace("<gpx", f'<!DOCTYPE gpx [<!ENTITY e0 "13">{entities}]>\n<gpx', 1).replace("13.4", "&e19;")
    secret = tmp_path / "secret"
    secret.write_text("12.5")
    outside = TRACK.replace("<gpx", f'<!DOCTYPE gpx [<!ENTITY f SYSTEM "{secret}">]>\n<gpx', 1).replace("52.5", "&f;")
    for text in (bomb, outside):
        with pytest.raises(TraceError, match="DOCTYPE"):
            read(tmp_path, "t.gpx", text)


# -- CSV


@pytest.mark.parametrize(
    "time",
    [
        "1767225600",
        "1767225600000",
        "1767225600000000",
        "1767225600000000000",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01T00:00:00Z",
        "2026/1/1 0:00:00",
        "2026-01-01 00:00:00 UTC",
    ],
)
def test_a_csv_may_tell_times_in_units_since_1970_or_year_first(tmp_path: Path, time: str) -> None:
    (point,) = read(tmp_path, "t.csv", f"timestamp,lat,lon,speed\n{time},52.5,13.4,4.2\n").points
    assert point.time == START
    assert point.speed_mps == 4.2


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Lat,Lon,Date,Time", "52.5,13.4,2026-01-01,00:00:00"),
        ("Lat,Lon,UTC Date,UTC Time", "52.5,13.4,20260101,000000"),
        ("lat,lon,date,time", "52.5,13.4,2026-01-01,2026-01-01T00:00:00Z"),
        ("lat,lon,date", "52.5,13.4,2026-01-01 00:00:00"),
        ("latitude (deg),longitude [°],date time", "52.5,13.4,2026-01-01T00:00:00Z"),
        ("lat_deg;long;time(ms)", "52.5;13.4;1767225600000"),
        ("LATITUDE|LONGITUDE|sample_time", "52.5|13.4|1767225600"),
        ("sep=;\nlat;lon;time", "52.5;13.4;1767225600"),
        ("# a logger\n\nlat,lon,time", "52.5,13.4,1767225600"),
    ],
)
def test_columns_are_found_by_the_names_and_units_that_loggers_use(tmp_path: Path, header: str, row: str) -> None:
    trace = read(tmp_path, "t.csv", f"{header}\n{row}\n")
    assert [(point.latitude, point.longitude, point.time) for point in trace.points] == [(52.5, 13.4, START)]


def test_what_a_unit_means_is_reckoned_and_an_unknown_one_is_left_out_and_said(tmp_path: Path) -> None:
    text = "lat,lon,time,speed (km/h),accuracy(ft),bearing(mils)\n52.5,13.4,1767225600,36,100,1600\n"
    trace = read(tmp_path, "t.csv", text)
    (point,) = trace.points
    assert point.speed_mps == pytest.approx(10)
    assert point.accuracy_meters == pytest.approx(30.48)
    assert point.heading_degrees is None
    assert "bearing(mils)" in trace.notes[0]


def test_a_posmo_file_with_nanoseconds_and_unknown_accuracy_is_read(tmp_path: Path) -> None:
    text = (
        "user_id;longitude;latitude;accuracy;tracked_at\n"
        "0;7.0389004;47.0516249;0.0;2019-01-25 20:00:16.178999901\n"
        "0;7.0;nan;16.0;2019-01-25 20:00:24\n"
    )
    first, second = read(tmp_path, "t.csv", text).points
    assert first.accuracy_meters is None
    assert first.time == datetime(2019, 1, 25, 20, 0, 16, 178999, tzinfo=UTC)
    assert second.accuracy_meters == 16.0
    assert not second.is_on_earth


def test_rows_without_a_fix_are_left_out_and_counted_and_those_without_a_time_get_one(tmp_path: Path) -> None:
    text = "lat,lon,time\n,,1767225600\n52.5,13.4,1767225601\nnull,NULL,\n52.6,13.4,\n\n52.7,13.4,1767225605\n52.8,,9\n"
    trace = read(tmp_path, "t.csv", text)
    assert seconds(trace) == [1, 3, 5]
    assert (trace.left_out, trace.times_made) == (3, 1)
    assert "3 without a fix left out, the first in line 2" in trace.notes


# -- refused


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "a,b\n1,2\n", r"no latitude: it has a, b; taken are latitude \(lat\)"),
        ("t.csv", "lat,lon,when\n1,2,3\n", "no time: it has lat, lon, when"),
        ("t.csv", "52.5,13.4,2026-01-01T00:00:00Z\n", "no latitude: it has 52.5, 13.4"),
        ("t.csv", "latitude (rad),lon,time\n1,2,3\n", r"'latitude \(rad\)' is in 'rad'; latitude is taken in deg"),
        ("t.csv", "lat,lat,lon,time\n1,1,2,3\n", "'lat' stands twice"),
        ("t.csv", "lat,lon,time\n52,x,2026-01-01\n", "line 2: 'x' is no number"),
        (
            "t.csv",
            "lat;lon;time\n52;13;9\n\n52,5;13,4;9\n",
            "line 4: '52,5' is no number; numbers have a decimal point",
        ),
        ("t.csv", "lat,lon,time\n52,5,13,4,1767225600\n", "line 2 has 5 cells, the header 3"),
        ("t.csv", "lat,lon,time\n52,13,noon\n", "line 2: 'noon' is no time; taken are 2026"),
        ("t.csv", "lat,lon,time\n52,13,01/03/2026 10:00:00\n", "line 2: '01/03/2026 10:00:00' is no time"),
        ("t.csv", "lat,lon,date,time\n52,13,01/03/2026,10:00\n", "line 2: '01/03/2026 10:00' is no time"),
        ("t.csv", "lat,lon,time\n52,13,inf\n", "no time"),
        ("t.csv", "lat,lon,time\n52,13,1e300\n", "no time"),
        ("t.csv", "lat,lon,time\n52,13,0001-01-01T00:00:00Z\n", "no time"),
        ("t.csv", "lat,lon,time\n52,13,9999-12-31T23:59:59-14:00\n", "no time"),
        # How large a cell may be is the process' setting; it is no time in any case.
        ("t.csv", f'lat,lon,time\n52,13,"{"9" * 200_000}"\n', "line 2: (field larger|'9{40}'… is no time)"),
        ("t.csv", "lat,lon,time\n,,\n,,9\n", "none of its 1 points has a fix"),
        ("t.csv", "lat,lon,time\n", "no points"),
        ("t.csv", "", "empty"),
        ("t.csv", b"\x00\x01\x02\x00\x00\x01" * 50, "no text"),
        ("t.plt", "x\n" * 6 + "1,2\n", "line 7 has 2 cells"),
        ("t.gpx", "<gpx", "no well-formed GPX"),
        ("t.gpx", "lat,lon,time\n", "no well-formed GPX: it begins with 'lat,lon,time"),
        ("t.gpx", gpx('<trkpt lat="x" lon="1"/>'), "line 2: 'x' is no number"),
        ("t.gpx", gpx('<trkpt lat="1" lon="1"><time>noon</time></trkpt>'), "line 2: 'noon' is no time"),
        ("t.gpx", gpx("").replace("<trk>", '<wpt lat="1" lon="1"/><trk>'), "1 waypoints and no track"),
        ("t.kml", "<?xml version='1.0'?><kml><Document/></kml>", r"this is KML; traces are \.plt, \.gpx or \.csv"),
        ("t.gpx", "<TrainingCenterDatabase/>", "this is TCX; traces are"),
        ("t.geojson", '{"type": "Feature"}', r"this is JSON \(GeoJSON\); traces are"),
        ("t.csv", "$GPGGA,100000.00,5230.0000,N,01324.0000,E,1\n", "this is NMEA; traces are"),
        ("t.tcx", "lat,lon,time\n", "this is TCX; traces are"),
        ("t.fit", b"\x0e\x10\xd9\x07\x00\x00\x00\x00.FIT\x00\x00", "this is FIT; traces are"),
        ("t.csv", b"PK\x03\x04\x14\x00", r"this is a ZIP archive \(KMZ, Excel\); traces are"),
        ("t.gpx", gzip.compress(b"<gpx/>", mtime=0), "this is a gzip archive; traces are"),
    ],
)
def test_what_is_no_trace_is_refused_by_what_was_found_and_where(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    with pytest.raises(TraceError, match=says):
        read(tmp_path, name, content)


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot read"):
        read_trace(tmp_path / "none.csv")


def test_whatever_is_broken_in_a_file_is_said_in_words_and_what_is_read_can_be_played(tmp_path: Path) -> None:
    chance = random.Random(20260101)  # noqa: S311 - noise, not a secret
    table = "lat,lon,time\n" + "".join(f"52.{n},13.4,{1767225600 + n}\n" for n in range(9))
    dated = "lat;lon;date;time;speed\n" + "".join(f"52.{n};13.4;2026-01-01;00:00:0{n};1\n" for n in range(9))
    files = [("t.csv", table), ("t.csv", dated), ("t.plt", GEOLIFE + ROWS), ("t.gpx", TRACK)]
    pieces = [
        b"",
        b",",
        b'"',
        b"\n",
        b"\0",
        b"nan",
        b"-inf",
        b"1e400",
        b"9" * 30,
        b"0001-01-01",
        b"<trkpt>",
        b"\xff\xfe",
    ]
    taken = 0
    for _ in range(1_500):
        name, text = chance.choice(files)
        content = text.encode()
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(content))
            content = content[:at] + chance.choice(pieces) + content[at + chance.choice((0, 1, 4)) :]
        try:
            trace = read(tmp_path, name, content)
            ends(trace.points)
        except TraceError:
            continue
        moved = shifted_to_end(trace.points, START)
        assert max(point.time for point in moved) == START
        taken += 1
    assert taken > 50


# -- the files that people have tried


@pytest.mark.skipif(not SHARED.exists(), reason="the files are not on this machine")
@pytest.mark.parametrize(
    ("name", "points", "left_out", "times_made"),
    [
        ("leading_points_without_time.gpx", 62, 0, 2),
        ("plt_without_header.plt", 60, 0, 0),
        ("plt_one_line_header.plt", 60, 0, 0),
        ("rows_without_fix.csv", 54, 6, 0),
        ("epoch_microseconds.csv", 60, 0, 0),
        ("utf16.gpx", 60, 0, 0),
        ("units_in_header.csv", 60, 0, 0),
        ("date_and_time_columns.csv", 60, 0, 0),
    ],
)
def test_files_that_people_have_tried_are_taken(name: str, points: int, left_out: int, times_made: int) -> None:
    trace = read_trace(SHARED / name)
    assert (len(trace.points), trace.left_out, trace.times_made) == (points, left_out, times_made)
    # Sixty points from ten o'clock on, five seconds apart, with a few in front or fewer in between.
    whole = [datetime(2026, 3, 1, 10, tzinfo=UTC) + timedelta(seconds=5 * number) for number in range(60)]
    told = [point.time for point in trace.points[times_made:]]
    assert told[-1] == whole[-1]
    assert sorted({*told} & {*whole}) == told


@pytest.mark.skipif(not SHARED.exists(), reason="the files are not on this machine")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("t.geojson", "this is JSON"),
        ("gga.nmea", "this is NMEA"),
        ("decimal_comma.csv", "line 2: '52,5' is no number"),
        ("day_first.csv", "line 2: '01/03/2026 10:00:00' is no time"),
    ],
)
def test_files_that_people_have_tried_are_refused_by_name(name: str, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        read_trace(SHARED / name)


def test_the_mark_of_utf_8_is_not_part_of_the_first_columns_name(tmp_path: Path) -> None:
    assert seconds(read(tmp_path, "t.csv", codecs.BOM_UTF8 + b"lat,lon,time\n52.5,13.4,1767225600\n")) == [0]
