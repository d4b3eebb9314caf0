"""CSV traces: a header that names latitude, longitude and a time, in the words and units that loggers use."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from marketd.demo.traces import cells
from marketd.demo.traces.points import Recording, Sample, TraceError

TAKEN = (
    "taken are latitude (lat), longitude (lon, lng, long) and a time (timestamp, datetime, time, tracked_at, "
    "sample_time; or date and time apart), and if there are accuracy, speed and heading (bearing, course)"
)

_DELIMITERS = ";,\t|"
_DEGREES = dict.fromkeys(("deg", "degree", "degrees", "decimal degrees", "°", "wgs84"), 1.0)
_METERS = {**dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0), "ft": 0.3048, "feet": 0.3048}
_SPEEDS = {
    **dict.fromkeys(("m/s", "mps", "ms-1"), 1.0),
    **dict.fromkeys(("km/h", "kmh", "kph"), 1 / 3.6),
    "mph": 0.44704,
    **dict.fromkeys(("kn", "kt", "kts", "knot", "knots"), 1852 / 3600),
}
# Units a second; 0 leaves it to the size of the number.
_TIMES = {
    **dict.fromkeys(("utc", "gmt", "z", "iso", "iso8601", "iso 8601", "local", "unix", "epoch"), 0.0),
    **dict.fromkeys(("s", "sec", "seconds"), 1.0),
    **dict.fromkeys(("ms", "millis", "milliseconds"), 1e3),
    **dict.fromkeys(("us", "µs", "μs", "microseconds"), 1e6),
    **dict.fromkeys(("ns", "nanoseconds"), 1e9),
}
_UNIT_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[]([^)\]]*)[)\]]\s*")


@dataclass(frozen=True)
class _Role:
    """What a column may be for: the names that it goes by, the best first, and its units with their factors."""

    names: tuple[str, ...]
    units: Mapping[str, float]


_LATITUDE = _Role(("latitude", "lat"), _DEGREES)
_LONGITUDE = _Role(("longitude", "lon", "lng", "long"), _DEGREES)
_INSTANT = _Role(("tracked at", "sample time", "timestamp", "datetime", "date time"), _TIMES)
_TIME = _Role(("time", "utc time", "gps time", "local time"), _TIMES)
_DATE = _Role(("date", "utc date", "gps date", "local date"), dict.fromkeys(("utc", "gmt", "local"), 0.0))
_ACCURACY = _Role(("accuracy", "horizontal accuracy"), _METERS)
_SPEED = _Role(("speed",), _SPEEDS)
_HEADING = _Role(("heading", "bearing", "course"), _DEGREES)


@dataclass(frozen=True)
class _Column:
    """A column of the file: where it stands, and the factor of its unit (1 for those that are not written)."""

    index: int
    factor: float | None


class _Header:
    """The column names of a file."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = [name.strip() for name in names]
        self.notes: list[str] = []
        self._parts = [_parts(name) for name in self.names]

    def needed(self, role: _Role) -> _Column:
        """The column of this role. Raises TraceError that says what the header has instead."""
        found = self.find(role)
        if found is None:
            listed = ", ".join(self.names)
            raise TraceError(f"the header names no {role.names[0]}: it has {listed}; {TAKEN}")
        return found

    def find(self, role: _Role) -> _Column | None:
        """The column of this role, or None. Raises TraceError for a unit that it cannot have, or two such columns."""
        for wanted in role.names:
            matches = [index for index, (name, _) in enumerate(self._parts) if self._is(name, wanted, role)]
            if len(matches) > 1:
                raise TraceError(f"the column {self.names[matches[0]]!r} stands twice")
            for index in matches:
                name, unit = self._parts[index]
                unit = unit or name[len(wanted) :].strip()
                if unit and unit not in role.units:
                    raise TraceError(
                        f"the column {self.names[index]!r} is in {unit!r}; {wanted} is taken in {', '.join(role.units)}"
                    )
                return _Column(index, role.units[unit] if unit else None)
        return None

    def welcome(self, role: _Role) -> _Column | None:
        """The same for a column that the trace can do without: one that cannot be read is left out, and said."""
        try:
            return self.find(role)
        except TraceError as error:
            self.notes.append(f"left out: {error}")
            return None

    @staticmethod
    def _is(name: str, wanted: str, role: _Role) -> bool:
        return name == wanted or (name.startswith(f"{wanted} ") and name[len(wanted) + 1 :] in role.units)


def read(text: str) -> Recording:
    """The fixes of a CSV with a header; separated by ; , tab or |. Raises TraceError."""
    rows = _rows(text)
    _, names = next(rows, (0, []))
    header = _Header(names)
    latitude, longitude = header.needed(_LATITUDE), header.needed(_LONGITUDE)
    clock = _Clock(header)
    accuracy, speed, heading = header.welcome(_ACCURACY), header.welcome(_SPEED), header.welcome(_HEADING)
    samples: list[Sample] = []
    without_fix: list[int] = []
    for line, row in rows:
        if len(row) > len(header.names) and any(cell.strip() for cell in row[len(header.names) :]):
            raise TraceError(f"line {line} has {len(row)} cells, the header {len(header.names)}")
        row += [""] * (len(header.names) - len(row))
        if cells.is_blank(row[latitude.index]) or cells.is_blank(row[longitude.index]):
            without_fix.append(line)
            continue
        samples.append(
            Sample(
                clock.read(row, line),
                cells.number(row[latitude.index], line),
                cells.number(row[longitude.index], line),
                # Loggers write 0 for an accuracy they do not know.
                _optional(row, accuracy, line) or None,
                _optional(row, speed, line),
                _optional(row, heading, line),
            )
        )
    return Recording(samples, without_fix, header.notes)


class _Clock:
    """Where a row says when it was: in one column, or in two of which one is the date."""

    def __init__(self, header: _Header) -> None:
        """Raises TraceError when the header names no time."""
        instant, time, self._date = header.find(_INSTANT), header.find(_TIME), header.find(_DATE)
        if instant is not None or time is None or self._date is None:
            self._time = instant or time or self._date or header.needed(_TIME)
            self._date = None
        else:
            self._time = time

    def read(self, row: Sequence[str], line: int) -> datetime | None:
        """The row's time, or None. Raises TraceError for what is no time."""
        text = row[self._time.index]
        if cells.is_blank(text):
            return None
        if self._date is None or cells.is_blank(row[self._date.index]):
            return cells.instant(text, line, per_second=self._time.factor or None)
        both = f"{row[self._date.index].strip()} {text.strip()}"
        for whole in (both, text.strip()):  # some write the date into both columns
            with suppress(ValueError):
                return cells.written(whole)
        return cells.instant(both, line)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with their line numbers, the header first; blank lines and comments above the header do not count."""
    lines = text.split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    if lines[first].lower().startswith("sep="):  # a hint for spreadsheets; the header shows it, too
        first += 1
    header = lines[first] if first < len(lines) else ""
    body = io.StringIO("\n".join(lines[first:]), newline="")
    rows = csv.reader(body, delimiter=max(_DELIMITERS, key=header.count))
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                yield first + rows.line_num, row
    except csv.Error as error:
        raise TraceError(f"line {first + rows.line_num}: {error}") from error


def _parts(name: str) -> tuple[str, str]:
    """A column's name in plain words, and the unit that stands in brackets behind it."""
    found = _UNIT_IN_BRACKETS.fullmatch(name)
    plain, unit = (found[1], found[2]) if found else (name, "")
    return " ".join(re.split(r"[\s_\-.]+", plain.strip().lower())), unit.strip().lower()


def _optional(row: Sequence[str], column: _Column | None, line: int) -> float | None:
    if column is None or cells.is_blank(row[column.index]):
        return None
    return cells.number(row[column.index], line) * (column.factor or 1.0)
