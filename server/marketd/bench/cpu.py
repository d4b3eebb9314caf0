"""Processor time of processes, from the operating system (utime + stime)."""

from __future__ import annotations

from collections.abc import Sequence

import psutil


def seconds_of(pids: Sequence[int]) -> float:
    """What these processes have used so far. Raises psutil.NoSuchProcess when one is gone: its measure is void."""
    return sum(times.user + times.system for times in (psutil.Process(pid).cpu_times() for pid in pids))


def postgres_seconds(postmaster_pid: int) -> float:
    """What the postmaster, its children and those of them that ended have used so far."""
    postmaster = psutil.Process(postmaster_pid)
    total = 0.0
    for process in postmaster.children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # a backend that ended just now: the postmaster's sum of ended children has it
        total += times.user + times.system
    own = postmaster.cpu_times()
    ended = getattr(own, "children_user", 0.0) + getattr(own, "children_system", 0.0)  # not known on every system
    return total + own.user + own.system + ended
