"""The one leader that brings in what is noted: pending documents, changed brands and categories, rebuilds, word counts.

It works in small transactions and rests after each as long as it took, so that an import and the buyers keep their
share of the machine. What somebody changed just now goes before what was changed for many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog

from marketd.catalog.search import pending, rebuild, words
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.work.leases import Leadership

_log = structlog.get_logger(__name__)
LEASE_NAME: Final = "search"
_POLL_SECONDS: Final = 0.5
_SECONDS: Final = 30.0


class Drain:
    """Brings in what is noted, while it leads. `on_change` is called when what buyers find has changed."""

    def __init__(self, tx: Transactor, lease: timedelta, on_change: Callable[[], None]) -> None:
        self._tx = tx
        self._leadership = Leadership(tx, LEASE_NAME, lease)
        self._others_turn = lease.total_seconds() / 3
        self._on_change = on_change

    async def run(self) -> None:
        """Lead whenever the lease is free, until cancelled."""
        try:
            while True:
                rest = _POLL_SECONDS
                begun = time.monotonic()
                try:
                    if not await self._leadership.is_ours():
                        rest = self._others_turn
                    elif await self.step():
                        rest = time.monotonic() - begun
                except Refusal as refusal:
                    self._leadership.doubt()
                    _log.warning("search_waiting", reason=refusal.reason.value)
                await asyncio.sleep(rest)
        finally:
            await self._leadership.give_back()

    async def step(self) -> bool:
        """Bring in a batch of what waits; whether there was any."""
        waiting = await self._tx.read(lambda unit: pending.look(unit.connection))
        if waiting.products:
            await self._do("search.drain", pending.drain)
        elif waiting.spreads:
            await self._do("search.spread", pending.spread)
        elif waiting.rebuild:
            await self._do("search.rebuild", rebuild.step)
        if waiting.words:
            await self._do("search.count", words.count)
        if waiting.products or waiting.rebuild:
            self._on_change()
        return waiting.products or waiting.spreads or waiting.rebuild or waiting.words

    async def _do(self, unit: str, work: Callable[[Connection], Awaitable[object]]) -> None:
        await self._tx.run(unit, lambda uow: work(uow.connection), seconds=_SECONDS)
