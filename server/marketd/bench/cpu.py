"""Processor time of processes, from the operating system (utime + stime of all threads)."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Sequence

import psutil


def seconds_of(pids: Sequence[int]) -> float:
    """What these processes have used so far. Raises psutil.NoSuchProcess when one is gone: its measure is void."""
    return sum(_seconds(pid) for pid in pids)


def postgres_seconds(postmaster_pid: int) -> float:
    """What the postmaster, its children and those of them that ended have used so far."""
    postmaster = psutil.Process(postmaster_pid)
    total = _seconds(postmaster_pid)
    for process in postmaster.children(recursive=True):
        try:
            total += _seconds(process.pid)
        except psutil.NoSuchProcess:
            continue  # a backend that ended just now: the postmaster's sum of ended children has it
    times = postmaster.cpu_times()
    ended: float = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)  # not on every system
    return total + ended


def _seconds(pid: int) -> float:
    if sys.platform != "linux":
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    # /proc counts in ticks of 10 ms; the process' own clock (clock_getcpuclockid(3)) has the same sum in nanoseconds.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ESRCH):
            raise psutil.NoSuchProcess(pid) from None
        raise
