"""The server process of a cluster we own: spawn it tied to this process, wait until it answers, end it."""

import os
import signal
import subprocess
import time
from pathlib import Path

from marketd.embedded import wire
from marketd.embedded.accounts import Account
from marketd.embedded.binaries import Binaries
from marketd.embedded.errors import StartTimedOutError, start_failed, with_last_lines
from marketd.embedded.home import Home, opened_for, socket_in
from marketd.embedded.parameters import server_options
from marketd.embedded.parent import Guardian, kernel_ties, spawn_tied

_POLL_SECONDS = 0.01
_TOO_MANY_CONNECTIONS = "53300"
_STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))


class Server:
    """A running postmaster that is our child."""

    def __init__(self, process: subprocess.Popen[bytes], account: Account) -> None:
        self._process = process
        self._guardian = None if kernel_ties() else Guardian(process.pid, account)

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process still runs; costs one system call."""
        if self._process.poll() is None:
            return True
        self._collected()
        return False

    def stop(self) -> None:
        """End it: a fast shutdown, and harder means when that takes too long; the next start then replays the log."""
        for step, patience_seconds in _STOP_STEPS:
            if self._process.poll() is not None:
                break
            self._process.send_signal(step)
            try:
                self._process.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                continue
        self._collected()

    def _collected(self) -> None:
        if self._guardian is not None:
            self._guardian.dismiss()
            self._guardian = None


def run_server(home: Home, account: Account, binaries: Binaries, *, durable: bool, deadline: float) -> Server:
    """Start the server on an existing cluster without leftovers, and come back when it answers a query.

    Raises StartFailedError with the end of its log, or StartTimedOutError; in both cases no process stays behind.
    """
    socket_dir = home.socket_dir(account)
    options = server_options(socket_dir=socket_dir, cluster_name=home.cluster_name(), durable=durable)
    home.trim_log()
    with home.log.open("ab") as log, opened_for(account, home.data) as (name, descriptors):
        said_before = os.fstat(log.fileno()).st_size
        argv: list[str | Path] = [binaries.postgres, "-D", name]
        for key, value in options.items():
            argv += ["-c", f"{key}={value}"]
        process = spawn_tied(argv, account, output=log, pass_fds=descriptors)
    server = Server(process, account)
    try:
        _wait_until_ready(server, home, socket_in(socket_dir), said_before, deadline)
    except BaseException:
        server.stop()
        raise
    return server


def answers(socket_path: Path, *, timeout_seconds: float = 5) -> bool:
    """Whether the server runs a query for us; one that has no connection to spare counts as well."""
    try:
        wire.query(socket_path, "postgres", "SELECT 1", timeout_seconds=timeout_seconds)
    except wire.ServerRefusedError as refusal:
        return refusal.sqlstate == _TOO_MANY_CONNECTIONS
    except OSError:
        return False
    return True


def _wait_until_ready(server: Server, home: Home, socket_path: Path, said_before: int, deadline: float) -> None:
    # postmaster.pid first: each attempt to connect before that would be one line of noise in the log.
    while not (home.is_ready(server.pid) and answers(socket_path)):
        if not server.is_alive():
            raise start_failed(_log_since(home, said_before))
        if time.monotonic() > deadline:
            said = _log_since(home, said_before)
            raise StartTimedOutError(with_last_lines("the embedded PostgreSQL was not ready in time:", said))
        time.sleep(_POLL_SECONDS)


def _log_since(home: Home, position: int) -> str:
    with home.log.open("rb") as log:
        log.seek(position)
        return log.read().decode(errors="replace")
