"""Repeating background work until it is cancelled: what refuses is logged and tried again after the pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.work.sweeps import BATCH

_log = structlog.get_logger(__name__)


async def repeat(sweep: Callable[[], Awaitable[int]], *, pause_seconds: float = 60.0) -> None:
    """Call a slice's sweep until cancelled: again soon while it finds whole batches, else after the pause."""
    while True:
        try:
            gone = await sweep()
        except Refusal as refusal:
            _log.warning("housekeeping_waiting", reason=refusal.reason.value)
            gone = 0
        await asyncio.sleep(pause_seconds if gone < BATCH else 0.5)
