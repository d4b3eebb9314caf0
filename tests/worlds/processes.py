"""Processes of our own tree: found through /proc by parent and start time, never by a broad name."""

from __future__ import annotations

import os
import select
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process that lives or lived; `born` tells it apart from a later one with the same number."""

    pid: int
    parent: int
    born: int
    command: str

    def is_alive(self) -> bool:
        """Whether it still runs; one that ended and was not collected does not."""
        now = _read(self.pid)
        return now is not None and now.born == self.born


def _read(pid: int) -> Process | None:
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[19]), command)


def everything() -> list[Process]:
    """Every living process that we may look at."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [process for pid in numbers if (process := _read(pid)) is not None]


def tree(root: int) -> list[Process]:
    """The process `root` and all that descend from it."""
    listed = everything()
    found = [process for process in listed if process.pid == root]
    for process in found:
        found.extend(child for child in listed if child.parent == process.pid and child not in found)
    return found


def wait_until_ended(processes: list[Process], seconds: float) -> list[Process]:
    """Wait for the end of processes that need not be our children; those that still live when the time is up."""
    end = time.monotonic() + seconds
    for process in processes:
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            if process.is_alive():
                select.select([handle], [], [], max(0.0, end - time.monotonic()))
        finally:
            os.close(handle)
    return [process for process in processes if process.is_alive()]
