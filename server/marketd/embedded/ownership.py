"""Which process owns the cluster: the one that holds a lock on its owner file.

The lock (flock(2)) goes away with its holder, whatever killed it, so no process id is ever guessed alive or dead. The
file also names the server that the owner has ready, so that others do not attach to one that is on its way down.
The lock belongs to the open file: a child made by a bare fork would share it, which is why workers are spawned.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """What the owner file says: the owning process and its server, 0 while that is not ready."""

    pid: int
    postmaster_pid: int


class Ownership:
    """The right to start and stop the server of one home directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object owns the cluster."""
        return self._file is not None

    def take(self) -> bool:
        """Become the owner unless a living process is; does not wait."""
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            os.close(file)
            raise
        self._file = file
        self.announce(0)
        return True

    def announce(self, postmaster_pid: int) -> None:
        """Tell the others which server is ready; 0 while none is."""
        if self._file is None:
            raise RuntimeError("only the owner announces a server")
        # One write of fixed width: a reader sees the old line or the new one.
        os.pwrite(self._file, f"{os.getpid():>20} {postmaster_pid:>20}\n".encode(), 0)

    def read(self) -> Owner:
        """What the present owner announced."""
        try:
            pid, postmaster_pid = self._path.read_text().split()
            return Owner(int(pid), int(postmaster_pid))
        except (FileNotFoundError, ValueError):
            return Owner(0, 0)

    def release(self) -> None:
        """Give the cluster up; the server must be down."""
        if self._file is not None:
            self.announce(0)
            os.close(self._file)
            self._file = None
