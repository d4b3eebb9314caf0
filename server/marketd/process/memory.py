"""Memory that a burst of calls took goes back to the system once it is over.

A call that has begun costs the gRPC core 16 KiB, and glibc keeps what was freed: without this a worker would stay as
large as its largest moment until it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 10.0
GROWN_BYTES: Final = 32 * 1024 * 1024
"""How much a process must have grown since it last gave memory back. Doing so takes a core some 10 ms for 100 MiB."""

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """What this process has in memory (proc(5), statm); 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back() -> bool:
    """Return what is free (malloc_trim(3)); False where the C library has no such call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True


async def keep_small() -> None:
    """Look every now and then until cancelled."""
    kept = resident_bytes()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if resident_bytes() - kept > GROWN_BYTES:
            # A thread of its own: the call lets go of the interpreter, and the loop goes on.
            await asyncio.to_thread(give_back)
            kept = resident_bytes()
