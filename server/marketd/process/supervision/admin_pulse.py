"""The pulse of the gateway: Envoy says nothing by itself, so it is asked, and nobody waits for the answer.

One that hangs still takes connections, in which nobody ever hears anything.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Final

from marketd.process.supervision.pulse import BEAT_SECONDS

_QUESTION: Final = b"GET /ready HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"
_SERVES: Final = b"HTTP/1.1 200"


class AdminPulse:
    """Asks the Envoy with this socket, at most one question at a time."""

    def __init__(self, admin: Path) -> None:
        self._admin = str(admin)
        self._asked: socket.socket | None = None
        self._pid = 0
        self._heard = b""
        self._next = 0.0

    def beats(self, pid: int) -> bool:
        """Whether this process has said since the last look that it serves. It is asked every second once it does."""
        if pid != self._pid:
            # What was asked before, its predecessor may have answered.
            self.close()
            self._pid, self._next = pid, 0.0
        if self._asked is None and time.monotonic() >= self._next:
            self._ask()
        if self._asked is None or not self._has_answered(self._asked):
            return False
        serves = self._heard == _SERVES
        self.close()
        if serves:
            self._next = time.monotonic() + BEAT_SECONDS
        return serves

    def close(self) -> None:
        """Ask no further."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None

    def _ask(self) -> None:
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        asking.setblocking(False)
        try:
            asking.connect(self._admin)
            asking.sendall(_QUESTION)
        except OSError:
            # It is not there yet, or has no room for one more that waits.
            asking.close()
            return
        self._asked, self._heard = asking, b""

    def _has_answered(self, asked: socket.socket) -> bool:
        """Whether enough of the answer is here, or no more can come."""
        try:
            while len(self._heard) < len(_SERVES):
                part = asked.recv(len(_SERVES) - len(self._heard))
                if not part:
                    break
                self._heard += part
        except BlockingIOError:
            return False
        except OSError:
            self._heard = b""
        return True
