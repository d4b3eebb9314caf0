"""Repeating background work until it is cancelled. A refusal is logged and waited out: the work comes again anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from marketd.kernel.call.refusals import Refusal

_log = structlog.get_logger(__name__)

BUSY_PAUSE_SECONDS = 0.5
REFUSED_PAUSE_SECONDS = 10.0


async def repeat(name: str, work: Callable[[], Awaitable[bool]], *, pause_seconds: float) -> None:
    """Do `work` again and again: after the pause, soon when it says that there is more to do, and in ten seconds at the
    latest where it was refused.

    The first time is at once. `name` stands in the log when the database refuses.
    """
    while True:
        try:
            pause = BUSY_PAUSE_SECONDS if await work() else pause_seconds
        except Refusal as refusal:
            _log.warning("work_waiting", work=name, reason=refusal.reason.value)
            pause = min(pause_seconds, REFUSED_PAUSE_SECONDS)
        await asyncio.sleep(pause)
