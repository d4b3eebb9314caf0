"""The operating system account the server runs as.

PostgreSQL refuses to run as root, so root hands it to an unprivileged account that exists already: none is created and
no folder of anybody else changes its mode.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from marketd.embedded.errors import DataDirectoryUnusableError

# `postgres` first, since nothing else should run under it; `nobody` exists everywhere but is shared.
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its primary group; `name` is the number where the user database has no entry."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether this process already runs as this account."""
        return self.uid == os.geteuid()


def choose_account(data: Path) -> Account:
    """The account for a cluster at `data`, which may not exist yet.

    An existing cluster keeps the account that owns it, so that root may start what an ordinary user created. Raises
    DataDirectoryUnusableError when the owner cannot be used by this process.
    """
    try:
        owner = data.stat()
    except FileNotFoundError:
        owner = None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise DataDirectoryUnusableError(
                f"{data} belongs to {_name(owner.st_uid)}, this process runs as {_name(os.geteuid())}. "
                "Start as that user or as root, or choose another data directory."
            )
        return Account(_name(os.geteuid()), os.geteuid(), os.getegid())
    if owner is None:
        return _unprivileged()
    if owner.st_uid == 0 and not (data / "PG_VERSION").exists():
        return _unprivileged()  # an empty folder that root made, such as a mount point
    if owner.st_uid == 0:
        account = _unprivileged()
        raise DataDirectoryUnusableError(
            f"{data} belongs to root and PostgreSQL refuses to run as root. Run `chown -R {account.name} {data}`."
        )
    return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid)


def reaches(account: Account, path: Path) -> bool:
    """Whether the account may walk down to `path` and read it, judged by owner, group and mode."""
    steps = [(parent, 0o1) for parent in path.parents]
    last = path.stat()
    steps.append((path, 0o5 if stat.S_ISDIR(last.st_mode) or last.st_mode & 0o111 else 0o4))
    return all(_grants(account, step, bits) for step, bits in steps)


def _grants(account: Account, path: Path, bits: int) -> bool:
    entry = path.stat()
    shift = 6 if entry.st_uid == account.uid else 3 if entry.st_gid == account.gid else 0
    return (entry.st_mode >> shift) & bits == bits


def _unprivileged() -> Account:
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise DataDirectoryUnusableError(
        f"running as root, and none of the accounts {', '.join(_CANDIDATES)} exists to run PostgreSQL. "
        "Create one or start as an ordinary user."
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
