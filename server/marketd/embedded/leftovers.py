"""What an earlier life may have left behind: processes, a process id that now means somebody else, sockets.

It runs under ownership only: no living process owns the cluster, so whatever still runs on it is an orphan.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marketd.embedded.accounts import Account
from marketd.embedded.errors import DataDirectoryInUseError, StartFailedError
from marketd.embedded.home import Home, socket_in
from marketd.embedded.parent import spawn

# A postmaster goes through: finish quickly (writes a checkpoint), leave at once (replays the log later), kill. Backends
# without a postmaster have nothing to finish.
_STEPS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; `command` is its title or its arguments joined by spaces."""

    pid: int
    uid: int
    command: str

    def belongs_to(self, cluster_name: str, account: Account) -> bool:
        """Whether it is the postmaster of the cluster or one of its children."""
        ours = self.command.startswith(f"postgres: {cluster_name}:") or self.is_postmaster_of(cluster_name)
        return ours and self.uid == account.uid

    def is_postmaster_of(self, cluster_name: str) -> bool:
        """Whether it was started with this name: the postmaster, or a child that has no title yet."""
        return "/postgres " in self.command and f" cluster_name={cluster_name} " in f"{self.command} "


def clear_leftovers(home: Home, account: Account) -> None:
    """End every orphan of the cluster and remove what would stop the next start.

    PostgreSQL clears an old postmaster.pid by itself unless its number is taken by another process, which is common
    in containers. Raises DataDirectoryInUseError for a server that was started by other means than ours.
    """
    cluster_name = home.cluster_name()
    _end_all(cluster_name, account)
    pid_file = home.data / "postmaster.pid"
    pid = home.postmaster_pid()
    if pid is not None and (stranger := _find(pid)) is not None and _serves(stranger.command, home.data):
        raise DataDirectoryInUseError(
            f"process {pid} is a PostgreSQL that marketd did not start, on {home.data}: stop it and start again. "
            f"If that process has nothing to do with this directory, remove {pid_file}."
        )
    pid_file.unlink(missing_ok=True)
    socket = socket_in(home.socket_dir(account))
    for path in (socket, socket.with_name(socket.name + ".lock")):
        path.unlink(missing_ok=True)


def processes_of(cluster_name: str, account: Account) -> list[Process]:
    """The living processes of the cluster; an ended one that nobody collected has no command and does not count."""
    return [process for process in _processes() if process.belongs_to(cluster_name, account)]


def _end_all(cluster_name: str, account: Account) -> None:
    for step, patience_seconds in _STEPS:
        deadline = time.monotonic() + patience_seconds
        alive = processes_of(cluster_name, account)
        postmasters = [process for process in alive if process.is_postmaster_of(cluster_name)]
        if step is signal.SIGINT and not postmasters:
            continue
        for process in postmasters if step is signal.SIGINT else alive:
            _signal(process.pid, step)
        while alive and time.monotonic() < deadline:
            time.sleep(0.01)
            alive = processes_of(cluster_name, account)
        if not alive:
            return
    raise StartFailedError(f"processes of an earlier server do not end: {[process.pid for process in alive]}")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _serves(command: str, data: Path) -> bool:
    """Whether a process that is not ours looks like a postmaster on `data`.

    The children of any server have titles ("postgres: …"), and the postmaster of another cluster of ours its name.
    """
    if not re.match(r"(\S*/)?postgres( |$)", command) or " cluster_name=marketd-" in command:
        return False
    elsewhere = re.search(r" -D ?(/(?!proc/)\S*)", command)
    return elsewhere is None or Path(elsewhere[1]).resolve() == data.resolve()


def _find(pid: int) -> Process | None:
    return next((process for process in _processes() if process.pid == pid), None)


def _processes() -> Iterator[Process]:
    return _linux_processes() if sys.platform == "linux" else _other_processes()


def _linux_processes() -> Iterator[Process]:
    # /proc and not ps: slim images have no ps.
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            uid, arguments = entry.stat().st_uid, (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        command = arguments.replace(b"\0", b" ").strip().decode(errors="replace")
        if command:
            yield Process(int(entry.name), uid, command)


def _other_processes() -> Iterator[Process]:
    ourselves = Account("", os.geteuid(), os.getegid())
    with spawn(["ps", "-axww", "-o", "pid=,uid=,command="], ourselves, output=subprocess.PIPE) as listing:
        output, _ = listing.communicate()
    for line in output.decode(errors="replace").splitlines():
        pid, uid, command = line.split(None, 2)
        yield Process(int(pid), int(uid), command)
