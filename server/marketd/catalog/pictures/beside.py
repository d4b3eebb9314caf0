"""An event loop in a thread of its own, for work whose steps would keep the loop that serves from others' calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_R = TypeVar("_R")


class LoopBeside:
    """Runs coroutines in another thread, which begins with the first of them and lasts until `close`.

    The two threads take turns every few milliseconds, whatever either is at.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, work: Coroutine[Any, Any, _R]) -> _R:
        """What the work gives or raises; who stops waiting for it cancels it."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # Looking names up can take long, and the end of the process does not wait for it.
            threading.Thread(target=_serve, args=(self._loop,), name=self._name, daemon=True).start()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """End the thread as soon as what runs there is cancelled; this does not wait for it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
    finally:
        loop.close()
