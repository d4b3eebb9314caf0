"""A process of the supervisor's: how it is spawned, what it tells, how it ends, and what it said last."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marketd.process.supervision.grpc_lines import readable
from marketd.process.supervision.pulse import BEAT_SECONDS, Silence

_SHORT_LIFE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 5.0
_LAST_WORDS_BYTES = 256 * 1024
_MOST_LAST_LINES = 50


@dataclass
class Child:
    """One place among the processes: its process now, and how often it died lately.

    `program`: module and arguments, run by our own interpreter. A worker also gets a pipe for its pulse and a socket in
    the place of standard error, from which its gRPC core is read. `patience_seconds`: for how long it may be silent;
    0, for what has no pulse, is endless.
    """

    name: str
    program: Sequence[str]
    patience_seconds: float
    is_worker: bool = True
    process: subprocess.Popen[bytes] | None = None
    pipe: int | None = None
    ready: dict[str, Any] | None = None
    refusal: str = ""
    not_before: float = 0.0
    silence: Silence = field(default_factory=lambda: Silence(0))
    _core: socket.socket | None = None
    _heard: bytes = b""
    _started: float = 0.0
    _deaths: int = 0

    def spawn(self, environment: Mapping[str, str], stderr_fd: int) -> int:
        """Start it; returns the end of its pipe to listen to. `stderr_fd`: the real standard error, for its log."""
        self._let_go()
        read, write = os.pipe()
        arguments = [sys.executable, "-m", *self.program, "--ready-fd", str(write)]
        passed = [write]
        theirs = None
        if self.is_worker:
            self._core, theirs = socket.socketpair()
            arguments += ["--stderr-fd", str(stderr_fd), "--core-fd", str(self._core.fileno())]
            passed += [stderr_fd, self._core.fileno()]
        # A session of its own: Ctrl-C reaches the supervisor alone, which then drains in order.
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            arguments,
            env=dict(environment),
            pass_fds=passed,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stderr=theirs.fileno() if theirs is not None else None,
        )
        os.close(write)
        if theirs is not None:
            theirs.close()
        os.set_blocking(read, False)
        self.pipe, self._heard, self.ready, self.refusal = read, b"", None, ""
        self.silence = Silence(self.patience_seconds)
        self._started = time.monotonic()
        return read

    def hear(self) -> bool:
        """Read its pipe: first a line of JSON, what it is ready with or why it refuses; then a byte a beat.

        False when nothing more can come.
        """
        if self.pipe is None:
            return False
        try:
            data = os.read(self.pipe, 65_536)
        except BlockingIOError:
            return True
        if not data:
            self.hang_up()
            return False
        if self.ready is not None:
            self.silence.heard()
            return True
        self._heard += data
        line, ended, _ = self._heard.partition(b"\n")
        if ended:
            told = json.loads(line)
            self.refusal = told.get("refused", "")
            if not self.refusal:
                self.ready = told
                self.silence.heard()
        return True

    def outlasted(self, turn_seconds: float) -> None:
        """A turn of the supervisor is over in which it listened for so long; see `Silence`."""
        # Only of one that is late is it worth a look.
        late = self.silence.seconds > BEAT_SECONDS
        self.silence.lasted(turn_seconds, is_busy=late and self.is_busy)

    @property
    def is_busy(self) -> bool:
        """Whether the thread of its event loop computes, or waits only for a processor; False where none can tell."""
        if self.process is None:
            return False
        pid = self.process.pid
        try:
            # Linux: the state stands behind the name, which may hold anything.
            status = Path(f"/proc/{pid}/task/{pid}/stat").read_bytes()
        except OSError:
            return False
        return status.rpartition(b")")[2].split()[:1] == [b"R"]

    def hang_up(self) -> None:
        """Close its pipe."""
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None

    def kill(self) -> None:
        """End it and what it has started as nothing can prevent, once: `ended` says when it is over."""
        if self.process is not None:
            # Where Envoy is a process beside the one that was spawned, it would keep the port, and half of the clients.
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.silence = Silence(0)

    def ended(self) -> int | None:
        """Its exit code when it has ended since the last look; from then on its place is free."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        lived = time.monotonic() - self._started
        self._deaths = self._deaths + 1 if lived < _SHORT_LIFE_SECONDS else 1
        # The first restart is at once; one that keeps dying young waits longer each time.
        pause = 0.0 if self._deaths == 1 else min(0.25 * 2**self._deaths, _LONGEST_PAUSE_SECONDS)
        self.not_before = time.monotonic() + pause
        return code

    def last_words(self) -> list[str]:
        """What it, or the core in it, wrote past its log and nobody has read: call it after its end."""
        if self._core is None:
            return []
        # Together with the process that has ended: the descriptors of both ends of ours are one.
        self._core.setblocking(False)
        said = bytearray()
        while len(said) < _LAST_WORDS_BYTES:
            try:
                part = self._core.recv(65_536)
            except BlockingIOError:
                break
            if not part:
                break
            said += part
        return [readable(line) for line in bytes(said).splitlines() if line.strip()][-_MOST_LAST_LINES:]

    def _let_go(self) -> None:
        if self._core is not None:
            self._core.close()
            self._core = None


def describe(code: int) -> str:
    """An exit code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
