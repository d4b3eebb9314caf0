"""Envoy in the foreground, for `marketd gateway`: a signal drains it, and then it ends."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from marketd.process.supervision.gateway import ask, drain

_TURN_SECONDS = 0.2


def run_in_front(line: list[str], admin: Path, drain_seconds: float) -> int:
    """Run it until it ends, or until SIGTERM or SIGINT; the exit code.

    Then it takes no new connection, and has `drain_seconds` for the calls in flight.
    """
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: stopping.append(got))
    # A session of its own: Ctrl-C reaches us alone.
    running = subprocess.Popen(line, start_new_session=True)  # noqa: S603 - Envoy, with a line of our own
    while not stopping:
        try:
            return running.wait(_TURN_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    drain(admin)
    end = time.monotonic() + drain_seconds
    while time.monotonic() < end and running.poll() is None and _is_busy(admin):
        time.sleep(_TURN_SECONDS)
    running.terminate()
    running.wait()
    return 0


def _is_busy(admin: Path) -> bool:
    """Whether calls are in flight."""
    answer = ask(admin, "GET", "/stats?filter=^http.gateway.downstream_rq_active$")
    return answer is not None and "rq_active: 0" not in answer
