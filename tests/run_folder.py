"""A pytest plugin: one folder for everything that a run writes, in memory where there is enough of it.

Databases are thousands of files made and removed again, and servers under test wait for the disk at each commit: in
memory that takes a third of the time. The process that began the run (xdist's controller, or the only one) makes the
folder, holds a lock on it for as long as it lives, and removes it at the end.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's own name; each run makes a folder of its own in it
MEMORY_NEEDED = 4 << 30
# Paths of sockets are short.
_PREFIX = "mrun-"
_TOLD = "run_folder"


class RunFolder:
    """The folder, as the process sees it that began the run."""

    def __init__(self) -> None:
        in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).total >= MEMORY_NEEDED
        parent = MEMORY if in_memory else Path(tempfile.gettempdir())
        _remove_left_behind(parent)
        self.path = parent / f"{_PREFIX}{secrets.token_hex(4)}"
        # Locked before it is there: who finds a folder without a lock on it may remove it.
        self._lock = _lock_of(self.path).open("a")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path.mkdir()
        temporary = self.path / "tmp"
        temporary.mkdir()
        # Some programs run as other users.
        self.path.chmod(0o755)
        temporary.chmod(0o1777)
        self._before = os.environ.get("TMPDIR")
        _use(str(temporary))

    def end(self) -> None:
        """Remove it. In memory nobody else tidies up."""
        _use(self._before)
        shutil.rmtree(self.path, ignore_errors=True)
        _lock_of(self.path).unlink(missing_ok=True)
        self._lock.close()


def _use(temporary: str | None) -> None:
    """Have temporary files written there, by this process and those that it starts; None: wherever the system says."""
    os.environ.pop("TMPDIR", None)
    if temporary is not None:
        os.environ["TMPDIR"] = temporary
    tempfile.tempdir = None  # it is found anew


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _remove_left_behind(parent: Path) -> None:
    """Remove what killed runs of ours have left: nobody holds the lock any more."""
    for path in parent.glob(f"{_PREFIX}*.lock"):
        try:
            with path.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink()
        except OSError:
            continue  # in use, or another user's


_folder = pytest.StashKey[RunFolder]()


def of(config: pytest.Config) -> Path | None:
    """The run's folder for a process that runs tests; None in one that only hands them out."""
    told: dict[str, Any] | None = getattr(config, "workerinput", None)
    if told is not None:
        return Path(told[_TOLD])
    return None if config.getoption("numprocesses", None) else config.stash[_folder].path


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make it where the run begins."""
    if not hasattr(config, "workerinput"):
        config.stash[_folder] = RunFolder()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell the worker that is about to start."""
    node.workerinput[_TOLD] = str(node.config.stash[_folder].path)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Workers are all through when the process that began the run comes here."""
    if _folder in config.stash:
        config.stash[_folder].end()
