"""GPX tracks: latitude, longitude and time of every track point, whatever else the file holds."""

from __future__ import annotations

from xml.parsers import expat

from marketd.demo.traces import cells
from marketd.demo.traces.points import Recording, Sample, TraceError

_OTHER_ROOTS = {"kml": "KML", "TrainingCenterDatabase": "TCX", "html": "HTML"}
_OTHER_POINTS = {"rtept": "route points", "wpt": "waypoints"}


def read(text: str) -> Recording:
    """The fixes of a GPX file's tracks. Raises TraceError, also for XML that is no GPX or declares entities."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, attributes: reader.begin(name, attributes, parser.CurrentLineNumber)
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.hear
    # A few lines of entities can stand for gigabytes of text, and no recorder writes any.
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise TraceError(f"no well-formed GPX: {error}") from error
    return reader.recording()


class _Reader:
    """Hears what stands in the file, element by element; names count without their namespaces' prefixes."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._point: dict[str, str] = {}
        self._line = 0
        self._time = ""
        self._samples: list[Sample] = []
        self._without_fix: list[int] = []
        self._others: dict[str, int] = {}

    def begin(self, name: str, attributes: dict[str, str], line: int) -> None:
        """An element begins in this line."""
        plain = _plain(name)
        if not self._open and plain != "gpx":
            found = _OTHER_ROOTS.get(plain, f"XML of another kind ({plain})")
            raise TraceError(f"this is {found}; traces are .plt, .gpx or .csv")
        self._open.append(plain)
        if plain == "trkpt":
            self._point, self._line, self._time = attributes, line, ""
        elif plain in _OTHER_POINTS:
            self._others[plain] = self._others.get(plain, 0) + 1

    def hear(self, text: str) -> None:
        """Text of the innermost element."""
        if self._open[-2:] == ["trkpt", "time"]:
            self._time += text

    def end(self, _name: str) -> None:
        """The innermost element ends."""
        if self._open.pop() != "trkpt":
            return
        latitude, longitude = self._point.get("lat", ""), self._point.get("lon", "")
        if cells.is_blank(latitude) or cells.is_blank(longitude):
            self._without_fix.append(self._line)
            return
        time = None if cells.is_blank(self._time) else cells.instant(self._time, self._line)
        fix = (cells.number(latitude, self._line), cells.number(longitude, self._line))
        self._samples.append(Sample(time, *fix))

    def refuse_doctype(self, *_declared: object) -> None:
        """The file declares a document type."""
        raise TraceError("the GPX file declares a DOCTYPE, which may hold entities; take it out")

    def recording(self) -> Recording:
        """What was found. Raises TraceError when there are points, but none of a track."""
        if not self._samples and not self._without_fix and self._others:
            found = ", ".join(f"{count} {_OTHER_POINTS[name]}" for name, count in self._others.items())
            raise TraceError(f"the GPX file has {found} and no track; the points of tracks (trkpt) are taken")
        return Recording(self._samples, self._without_fix)


def _plain(name: str) -> str:
    return name.rpartition(":")[2]
