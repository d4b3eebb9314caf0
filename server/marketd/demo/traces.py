"""Recorded traces: reading GeoLife .plt, GPX and CSV files, and moving them in time so that they end now.

Points keep the order of the file: real receivers jump and their clocks go back, and the server is to judge that.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from marketd.demo import gpx
from marketd.demo.trace_errors import TraceError

_PLT_HEADER_LINES = 6
_TIME_COLUMNS = ("tracked_at", "sample_time", "timestamp", "time", "datetime")
_LATITUDE_COLUMNS = ("latitude", "lat")
_LONGITUDE_COLUMNS = ("longitude", "lon", "lng", "long")
_ACCURACY_COLUMNS = ("accuracy_meters", "accuracy")
_SPEED_COLUMNS = ("speed_mps", "speed")
_HEADING_COLUMNS = ("heading_degrees", "heading", "bearing")
_MILLISECONDS_FROM = 1e11
# A pause of the recording is played as at most this long; its samples stay as far apart as they were.
_LONGEST_PLAYED_GAP_SECONDS = 60.0


@dataclass(frozen=True)
class TracePoint:
    """One sample. Coordinates are as recorded, also when they are impossible; times have a zone."""

    time: datetime
    latitude: float
    longitude: float
    accuracy_meters: float | None = None
    speed_mps: float | None = None
    heading_degrees: float | None = None

    @property
    def is_on_earth(self) -> bool:
        """Whether the coordinates can be a place."""
        # Comparisons with a NaN are false, so this refuses it too.
        return abs(self.latitude) <= 90 and abs(self.longitude) <= 180


def read_trace(path: Path) -> list[TracePoint]:
    """The points of a trace in the order of the file; the name's ending says the format. Raises TraceError."""
    try:
        # Not strict: old loggers write place names in their own encoding, and nothing here needs them.
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise TraceError(f"cannot read the trace {path}: {error.strerror}") from error
    try:
        if path.suffix.lower() == ".plt":
            points = list(_plt(text.splitlines()))
        elif path.suffix.lower() == ".gpx":
            points = [TracePoint(*fields) for fields in gpx.read(text)]
        else:
            points = list(_table(text.splitlines()))
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from error
    if not points:
        raise TraceError(f"{path}: the trace has no points")
    return points


def shifted_to_end(points: Sequence[TracePoint], end: datetime) -> list[TracePoint]:
    """The same points moved in time so that the latest is at `end`; the spacing stays as it was."""
    by = end - max(point.time for point in points)
    return [replace(point, time=point.time + by) for point in points]


def waits(points: Sequence[TracePoint]) -> list[float]:
    """How many seconds to wait before each point when playing at the recorded speed; never negative."""
    steps = [0.0]
    for before, after in itertools.pairwise(points):
        gap = (after.time - before.time).total_seconds()
        steps.append(min(max(gap, 0.0), _LONGEST_PLAYED_GAP_SECONDS))
    return steps


def ends(points: Iterable[TracePoint]) -> tuple[TracePoint, TracePoint]:
    """The first and last point that can be a place. Raises TraceError when there is none."""
    real = [point for point in points if point.is_on_earth]
    if not real:
        raise TraceError("no point of the trace is a place on earth")
    return real[0], real[-1]


def _plt(lines: Sequence[str]) -> Iterator[TracePoint]:
    """GeoLife 1.3: six header lines, then lat, lon, 0, altitude, days, date, time in UTC."""
    for number, line in enumerate(lines[_PLT_HEADER_LINES:], _PLT_HEADER_LINES + 1):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) < 7:
            raise TraceError(f"line {number} has {len(cells)} cells instead of 7")
        yield TracePoint(
            _time(f"{cells[5].strip()} {cells[6].strip()}", number),
            _number(cells[0], number),
            _number(cells[1], number),
        )


def _table(lines: Sequence[str]) -> Iterator[TracePoint]:
    """CSV with a header that names latitude, longitude and a time; accuracy, speed and heading when there are some."""
    if not lines:
        return
    delimiter = max(";,\t", key=lines[0].count)
    rows = csv.DictReader(lines, delimiter=delimiter)
    names = {name.strip().lower(): name for name in rows.fieldnames or () if name}
    latitude, longitude = _column(names, _LATITUDE_COLUMNS), _column(names, _LONGITUDE_COLUMNS)
    time = _column(names, _TIME_COLUMNS)
    if latitude is None or longitude is None or time is None:
        raise TraceError("the header needs latitude, longitude and a time (tracked_at, timestamp or time)")
    accuracy, speed = _column(names, _ACCURACY_COLUMNS), _column(names, _SPEED_COLUMNS)
    heading = _column(names, _HEADING_COLUMNS)
    for number, row in enumerate(rows, 2):
        yield TracePoint(
            _time(row[time], number),
            _number(row[latitude], number),
            _number(row[longitude], number),
            # Loggers write 0 for an accuracy they do not know.
            _optional(row, accuracy, number) or None,
            _optional(row, speed, number),
            _optional(row, heading, number),
        )


def _column(names: Mapping[str, str], wanted: Iterable[str]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)


def _optional(row: Mapping[str, str | None], column: str | None, line: int) -> float | None:
    text = row.get(column) if column is not None else None
    return _number(text, line) if text and text.strip() else None


def _number(text: str | None, line: int) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise TraceError(f"line {line}: {text!r} is no number") from None


def _time(text: str | None, line: int) -> datetime:
    """ISO 8601 (UTC unless it says otherwise), or seconds or milliseconds since 1970."""
    value = (text or "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            raise TraceError(f"line {line}: {value!r} is no time") from None
        return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    if not math.isfinite(seconds):
        raise TraceError(f"line {line}: {value!r} is no time")
    seconds = seconds / 1000 if abs(seconds) >= _MILLISECONDS_FROM else seconds
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
