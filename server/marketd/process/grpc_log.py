"""What gRPC writes by itself goes through our log: read on a thread, throttled, counted.

Its Python layer uses the standard library's logging, with a trace for every client that goes away in the wrong moment.
The core writes to file descriptor 2 and asks nobody. In a worker that descriptor is one end of a socket pair that the
supervisor made; Python's own standard error is another descriptor, so no line of ours takes the detour.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import structlog
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from marketd.process.supervision.grpc_lines import WINDOW_SECONDS, GrpcLine, Throttle, parse

_log = structlog.get_logger(__name__)

_CHUNK_BYTES = 64 * 1024
# Between chunks: a flood of lines fills the socket meanwhile, and the core drops what does not fit.
_PAUSE_SECONDS = 0.02
_END_SECONDS = 2.0
_LEVELS = {"info": "info", "warning": "warning", "error": "error", "fatal": "critical"}


class GrpcLog(Collector):
    """Reads the other end of descriptor 2 until `end`; register it with a prometheus registry."""

    def __init__(self, source: socket.socket, stderr_fd: int) -> None:
        """`source` stays the caller's. `stderr_fd`: where descriptor 2 leads again after `end`."""
        self._source = source
        self._stderr_fd = stderr_fd
        self._throttle = Throttle(time.monotonic)
        self._lines: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._lock = threading.Lock()  # records and scrapes come from other threads
        self._partial = b""
        # The core holds locks of its own while it writes: it may lose a line, but never wait for our thread.
        os.set_blocking(2, False)
        self._thread = threading.Thread(target=self._read, name="marketd-grpc-log", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Log what has been written so far; descriptor 2 is standard error again."""
        # That was the last writing end, so the thread reads to the end of what is there.
        os.dup2(self._stderr_fd, 2)
        self._thread.join(_END_SECONDS)

    def accept(self, record: logging.LogRecord) -> bool:
        """Whether a record of the standard library's logging is to be written; a filter for its handler."""
        if record.name.partition(".")[0] != "grpc":
            return True
        place = f"{record.filename}:{record.lineno}"
        return self._passes(GrpcLine(record.levelname.lower(), place, ""))

    def collect(self) -> Iterator[Metric]:
        """The metrics as prometheus reads them."""
        lines = CounterMetricFamily(
            "marketd_core_log_lines", "Lines that gRPC has written by itself, by severity.", labels=("severity",)
        )
        left_out = CounterMetricFamily(
            "marketd_core_log_lines_left_out", "Those of them that the log left out.", labels=("severity",)
        )
        with self._lock:
            for severity, count in self._lines.items():
                lines.add_metric((severity,), count)
                left_out.add_metric((severity,), self._left_out[severity])
        yield lines
        yield left_out

    def _read(self) -> None:
        while True:
            self._say_left_out()
            with self._lock:
                left_seconds = self._throttle.next_end_seconds()
            # Records that are left out do not wake this thread.
            ready, _, _ = select.select(
                [self._source], [], [], WINDOW_SECONDS if left_seconds is None else left_seconds
            )
            if not ready:
                continue
            # Taken out only after it has been logged: of a worker that the core ends, the supervisor reads the rest.
            seen = self._source.recv(_CHUNK_BYTES, socket.MSG_PEEK)
            whole = seen.rfind(b"\n") + 1 or len(seen)
            self._handle(seen[:whole])
            self._source.recv(whole)
            if not seen:
                self._say_left_out(close=True)
                return
            threading.Event().wait(_PAUSE_SECONDS)

    def _say_left_out(self, *, close: bool = False) -> None:
        with self._lock:
            left_out = list(self._throttle.ended(close=close))
        for place, count in left_out:
            _log.warning("core_lines_left_out", place=place, count=count)

    def _handle(self, data: bytes) -> None:
        """Log whole lines; the beginning of one is kept until the rest comes, or nothing more does."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if self._partial and (not data or len(self._partial) >= _CHUNK_BYTES):
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            if line.strip():
                self._take(parse(line))

    def _take(self, line: GrpcLine) -> None:
        if self._passes(line):
            say = getattr(_log, _LEVELS.get(line.severity, "warning"))
            say("core_log", severity=line.severity, place=line.place, text=line.text)

    def _passes(self, line: GrpcLine) -> bool:
        with self._lock:
            passes = self._throttle.passes(line)
            self._lines[line.severity] += 1
            self._left_out[line.severity] += not passes
        return passes
