"""Repeating background work until it is cancelled. A refusal is logged and waited out: the work comes again anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from marketd.kernel.call.refusals import Refusal

_log = structlog.get_logger(__name__)

BUSY_PAUSE_SECONDS = 0.5


async def repeat(name: str, work: Callable[[], Awaitable[bool]], *, pause_seconds: float) -> None:
    """Do `work` again and again: after the pause, or soon when it says that there is more to do.

    The first time is at once. `name` stands in the log when the database refuses.
    """
    while True:
        try:
            more = await work()
        except Refusal as refusal:
            _log.warning("work_waiting", work=name, reason=refusal.reason.value)
            more = False
        await asyncio.sleep(BUSY_PAUSE_SECONDS if more else pause_seconds)
