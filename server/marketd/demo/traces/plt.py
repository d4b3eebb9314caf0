"""PLT traces (GeoLife 1.3): header lines, then latitude, longitude, 0, altitude, days, date and time in UTC."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.demo.traces import cells
from marketd.demo.traces.points import Recording, Sample, TraceError

_HEADER_LINES = 6
_CELLS = 7


def read(text: str) -> Recording:
    """The fixes of a PLT; its header may have the usual six lines, fewer, or none. Raises TraceError."""
    lines = text.splitlines()
    first = _first_of_data(lines)
    notes = [] if first == _HEADER_LINES else [f"{first or 'no'} header line{'s' * (first != 1)} instead of 6"]
    samples: list[Sample] = []
    without_fix: list[int] = []
    for line, row in enumerate(lines[first:], first + 1):
        if not row.strip():
            continue
        parts = row.split(",")
        if len(parts) < _CELLS:
            raise TraceError(f"line {line} has {len(parts)} cells instead of {_CELLS}")
        if cells.is_blank(parts[0]) or cells.is_blank(parts[1]):
            without_fix.append(line)
            continue
        is_timed = not (cells.is_blank(parts[5]) or cells.is_blank(parts[6]))
        time = cells.instant(f"{parts[5].strip()} {parts[6].strip()}", line) if is_timed else None
        samples.append(Sample(time, cells.number(parts[0], line), cells.number(parts[1], line)))
    return Recording(samples, without_fix, notes)


def _first_of_data(lines: Sequence[str]) -> int:
    """The index of the first line that is data: nothing above it may look like a fix."""
    for index, line in enumerate(lines[:_HEADER_LINES]):
        parts = line.split(",")
        # The fifth of the usual header lines has numbers in eight cells too, but no date.
        if len(parts) >= _CELLS and (_is_date(parts[5]) or all(cells.is_number(part) for part in parts[:5])):
            return index
    return _HEADER_LINES


def _is_date(cell: str) -> bool:
    return any(each in "-/" for each in cell) and any(each.isdigit() for each in cell)
