"""The home directory of a cluster: what lies where in it, and the folder of its socket.

data/          PostgreSQL's own data directory, of the account that runs it
owner          the lock file of the owning process
postgres.log   what the server says; the part before the last large start is postgres.log.1
run/           the socket, when its path is short enough and the account reaches it
"""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from marketd.embedded.accounts import Account, reaches
from marketd.embedded.errors import DataDirectoryUnusableError
from marketd.embedded.parameters import PORT

# sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included.
_LONGEST_SOCKET_PATH_BYTES = 103
# Not the user's TMPDIR, which may be long and differ between the processes that share the server. The folder made in it
# has mode 0700 and its owner is checked.
_SHORT_ROOT = Path("/tmp")  # noqa: S108
_LARGE_LOG_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one cluster."""

    root: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "data"

    @property
    def version_file(self) -> Path:
        """PostgreSQL's mark on a data directory that initdb has finished."""
        return self.data / "PG_VERSION"

    @property
    def owner_file(self) -> Path:
        """The lock file of the owner."""
        return self.root / "owner"

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.root / "postgres.log"

    def socket_dir(self, account: Account) -> Path:
        """The folder of the socket: the same for every process that asks and after every restart."""
        inside = self.root / "run"
        fits = len(os.fsencode(socket_in(inside))) <= _LONGEST_SOCKET_PATH_BYTES
        if fits and (account.is_ours or reaches(account, self.root)):
            return inside
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return _SHORT_ROOT / f"marketd-{account.uid}-{name}"

    def postmaster_pid(self) -> int | None:
        """The process id in postmaster.pid, whether or not it lives."""
        lines = self._pid_file_lines()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def is_ready(self, pid: int) -> bool:
        """Whether the server `pid` has written that it accepts connections."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def cluster_name(self) -> str:
        """A name for the processes of this data directory, and of no copy of it: `data` must exist.

        It stands in their titles, so that they are found again when everything else about them is lost.
        """
        identity = self.data.stat()
        return f"marketd-{identity.st_dev:x}-{identity.st_ino:x}"

    def trim_log(self) -> None:
        """Begin a new log file when the present one is large; one older file is kept."""
        if self.log.exists() and self.log.stat().st_size > _LARGE_LOG_BYTES:
            self.log.replace(self.log.with_name(self.log.name + ".1"))

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return []


def socket_in(folder: Path) -> Path:
    """The socket that PostgreSQL makes in a folder."""
    return folder / f".s.PGSQL.{PORT}"


def make_private(folder: Path, account: Account) -> None:
    """Make a folder that only the account may enter; refuses one that somebody else made."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {account.uid, os.geteuid()}:
        raise DataDirectoryUnusableError(f"{folder} is not a folder of user {account.name}: remove it and start again.")
    os.chown(folder, account.uid if not account.is_ours else -1, account.gid if not account.is_ours else -1)
    folder.chmod(0o700)


def remove_borrowed(folder: Path, home: Home) -> None:
    """Remove an empty socket folder that does not lie in the home; the next start makes it again."""
    if folder.parent != home.root:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def opened_for(account: Account, data: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A name of the data directory that the account can use, and the descriptors its processes must inherit.

    A folder above may be closed to the account (a checkout under /root). On Linux the inherited descriptor of the data
    directory leads there all the same, so nothing moves and no mode of any folder above changes.
    """
    if account.is_ours or reaches(account, data.parent):
        yield str(data), ()
        return
    if sys.platform == "linux":
        descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)
    else:
        raise DataDirectoryUnusableError(
            f"user {account.name}, who runs PostgreSQL for root, may not enter {data.parent}: "
            "choose a data directory that every user may enter, or start as an ordinary user."
        )
