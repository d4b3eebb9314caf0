"""What a cell of a trace file says: a number, an instant, or nothing."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from marketd.demo.traces.points import TraceError

TIMES_TAKEN = "2026-03-01T10:00:00Z (ISO 8601, UTC unless it says otherwise), or seconds, ms, µs or ns since 1970"

# What loggers and spreadsheets write for a value that is not there. Not "nan": that is a fix which the server judges.
_NOTHING = frozenset({"", "-", "--", "null", "none", "na", "n/a"})
# From so many on a number of units since 1970 is of the next smaller unit; the years before are those up to 5138.
_UNITS_FROM = ((1e20, 0.0), (1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
_SHOWN = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Whatever else is recorded: beyond these a clock is broken, and moving such a time could leave the calendar.
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T\s]+(\d{1,2})(?=:))?")
_ZONE_NAME = re.compile(r"\s*(?:UTC|GMT|Z)$", re.IGNORECASE)


def is_blank(text: str) -> bool:
    """Whether the cell holds no value."""
    return text.strip().lower() in _NOTHING


def number(text: str, line: int) -> float:
    """The number. Raises TraceError."""
    try:
        return float(text)
    except ValueError:
        hint = "; numbers have a decimal point" if "," in text else ""
        raise TraceError(f"line {line}: {_quoted(text)} is no number{hint}") from None


def is_number(text: str) -> bool:
    """Whether the cell holds a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def instant(text: str, line: int, *, per_second: float | None = None) -> datetime:
    """The instant, in UTC. per_second: units a second of a number, else its size says. Raises TraceError."""
    value = text.strip()
    try:
        found = _since_1970(float(value), per_second) if is_number(value) else written(value)
    except (ValueError, OverflowError):
        raise TraceError(f"line {line}: {_quoted(value)} is no time; taken are {TIMES_TAKEN}") from None
    return found


def _quoted(text: str) -> str:
    """What the cell holds, or its beginning."""
    plain = text.strip()
    return repr(plain) if len(plain) <= _SHOWN else f"{plain[:_SHOWN]!r}…"


def written(value: str) -> datetime:
    """A date with a time of day, year first, in UTC. Raises ValueError."""
    zoned = _ZONE_NAME.sub("+00:00", value)
    padded = _YEAR_FIRST.sub(_padded, zoned, count=1) if _YEAR_FIRST.match(zoned) else zoned
    parsed = datetime.fromisoformat(padded)
    return _plausible(parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC))


def _padded(found: re.Match[str]) -> str:
    year, month, day, hour = found.groups()
    return f"{year}-{month:0>2}-{day:0>2}" + (f"T{hour:0>2}" if hour is not None else "")


def _since_1970(units: float, per_second: float | None) -> datetime:
    if not math.isfinite(units):
        raise ValueError
    if per_second is None:
        per_second = next((each for least, each in _UNITS_FROM if abs(units) >= least), 1.0)
        if not per_second:
            raise ValueError
    return _plausible(_EPOCH + timedelta(seconds=units / per_second))


def _plausible(time: datetime) -> datetime:
    if not _EARLIEST <= time <= _LATEST:
        raise ValueError
    return time.astimezone(UTC)
