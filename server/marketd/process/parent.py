"""Ending with one's parent: a worker whose supervisor was killed goes down by itself, so no orphan keeps the port."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, number: signal.Signals = signal.SIGQUIT) -> None:
    """Get the signal when the process `parent` ends; at once when it is gone already. Call on the main thread.

    Linux sends it (prctl(2), PR_SET_PDEATHSIG), also to a program that takes this one's place; elsewhere a thread looks
    once a second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    else:
        threading.Thread(target=_watch, args=(parent, number), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def _watch(parent: int, number: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), number)
