"""GPX tracks, read with gpxpy from the extra `marketd[demo]`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from marketd.demo.trace_errors import TraceError

if importlib.util.find_spec("gpxpy") is not None:
    import gpxpy
    import gpxpy.gpx

    _AVAILABLE = True
else:
    _AVAILABLE = False

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(text: str) -> Iterator[tuple[datetime, float, float]]:
    """Time, latitude and longitude of every track point; a point without a time comes a second after the one before.

    Raises TraceError, also when gpxpy is not installed.
    """
    if not _AVAILABLE:
        raise TraceError("reading GPX needs gpxpy; install marketd[demo]")
    try:
        document = gpxpy.parse(text)
    except gpxpy.gpx.GPXException as error:
        raise TraceError(f"no valid GPX: {error}") from error
    last = _EPOCH - timedelta(seconds=1)
    for track in document.tracks:
        for segment in track.segments:
            for point in segment.points:
                time = point.time or last + timedelta(seconds=1)
                last = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
                yield last, point.latitude, point.longitude
