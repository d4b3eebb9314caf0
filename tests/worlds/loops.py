"""How long the event loop is held by one callback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Held:
    """The longest callback, in seconds of this thread's own work: a busy machine makes it no longer."""

    seconds: float = 0.0


@contextmanager
def longest_callback() -> Iterator[Held]:
    """Watches the callbacks of asyncio's own loop."""
    held, run = Held(), asyncio.Handle._run

    def timed(self: Any) -> None:
        begun = time.thread_time()
        run(self)
        held.seconds = max(held.seconds, time.thread_time() - begun)

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield held
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]
