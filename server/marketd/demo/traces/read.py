"""Reading a trace file: what it is, by its bytes rather than its name, and who reads it.

Whatever is not taken is refused by the name of what it is.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from marketd.demo.traces import gpx, plt, table
from marketd.demo.traces.points import Trace, TraceError, timed

TAKEN = "traces are .plt, .gpx or .csv"

_BINARIES = ((b"PK\x03\x04", "a ZIP archive (KMZ, Excel)"), (b"\x1f\x8b", "a gzip archive"), (b"%PDF", "a PDF"))
# The longer mark first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_KINDS = {
    ".json": "JSON",
    ".geojson": "GeoJSON",
    ".nmea": "NMEA",
    ".kml": "KML",
    ".kmz": "KMZ",
    ".tcx": "TCX",
    ".fit": "FIT",
    ".igc": "IGC",
    ".xls": "Excel",
    ".xlsx": "Excel",
}
_NMEA = re.compile(r"[$!][A-Z]{2}[A-Z0-9]{1,4},")


def read_trace(path: Path) -> Trace:
    """The points of a trace in the order of the file. Raises TraceError, which names the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TraceError(f"{path}: cannot read the trace ({error.strerror})") from error
    try:
        return _read(data, path.suffix.lower())
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from error


def _read(data: bytes, suffix: str) -> Trace:
    text, encoding = _decoded(data)
    start = text.lstrip()
    if not start:
        raise TraceError("the file is empty, so the trace has no points")
    # What begins with < is XML, and the name of its outermost element says of which kind.
    if start.startswith("<"):
        recording = gpx.read(start)
    else:
        other = _kind_of(start) or _OTHER_KINDS.get(suffix)
        if other is not None:
            raise TraceError(f"this is {other}; {TAKEN}")
        if suffix == ".gpx":
            raise TraceError(f"no well-formed GPX: it begins with {start[:20]!r}")
        recording = plt.read(text) if suffix == ".plt" else table.read(text)
    trace = timed(recording)
    said = [f"read as {encoding.upper()}"] if encoding.startswith(("utf-16", "utf-32")) else []
    return Trace(trace.points, trace.left_out, trace.times_made, [*said, *trace.notes])


def _decoded(data: bytes) -> tuple[str, str]:
    """The text and its encoding. Raises TraceError when it is none."""
    binary = next((name for mark, name in _BINARIES if data.startswith(mark)), None)
    if data[8:12] == b".FIT":
        binary = "FIT"
    if binary is not None:
        raise TraceError(f"this is {binary}; {TAKEN}")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _unmarked(data)
    # Not strict: old loggers write place names in their own encoding, and nothing here needs them.
    text = data.decode(encoding, errors="replace")
    if "\0" in text:
        raise TraceError(f"this is no text; {TAKEN}")
    return text, encoding


def _unmarked(data: bytes) -> str:
    """The encoding of text without a mark: every other byte of UTF-16 is zero where it holds figures and names."""
    even, odd = data[0:200:2], data[1:200:2]
    if even.count(0) * 2 > len(even) and not odd.count(0):
        return "utf-16-be"
    if odd.count(0) * 2 > len(odd) and not even.count(0):
        return "utf-16-le"
    try:
        data.decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _kind_of(start: str) -> str | None:
    """What the text is, when its first characters show that it is none of ours."""
    if start[0] in "{[":
        return "JSON (GeoJSON)"
    return "NMEA" if _NMEA.match(start) else None
