"""The one leader that brings in what is noted: pending documents, changed brands and categories, rebuilds, word counts.

It works in small transactions and rests after each as long as it took, so that an import and the buyers keep their
share of the machine. What somebody changed just now goes before what was changed for many.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from marketd.catalog.search import pending, rebuild, words
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import DATABASE_ERRORS, Connection
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.work import leases

_log = structlog.get_logger(__name__)
LEASE_NAME: Final = "search"
_POLL_SECONDS: Final = 0.5
_SECONDS: Final = 30.0


class Drain:
    """Brings in what is noted, while it leads. `on_change` is called when what buyers find has changed."""

    def __init__(self, tx: Transactor, lease: timedelta, on_change: Callable[[], None]) -> None:
        self._tx = tx
        self._lease = lease
        self._on_change = on_change
        self._holder: UUID = new_id()

    async def run(self) -> None:
        """Lead whenever the lease is free, until cancelled."""
        renewed = float("-inf")
        try:
            while True:
                rest = _POLL_SECONDS
                begun = time.monotonic()
                try:
                    if begun - renewed > self._lease.total_seconds() / 3:
                        leads = await self._tx.run("search.lease", self._take)
                        renewed = begun if leads else float("-inf")
                    if renewed < 0:
                        rest = self._lease.total_seconds() / 3
                    elif await self.step():
                        rest = time.monotonic() - begun
                except Refusal as refusal:
                    renewed = float("-inf")
                    _log.warning("search_waiting", reason=refusal.reason.value)
                await asyncio.sleep(rest)
        finally:
            if renewed > 0:
                # Without a database the lease runs out by itself.
                with contextlib.suppress(Refusal, *DATABASE_ERRORS):
                    await asyncio.shield(
                        self._tx.run("search.release", lambda uow: leases.release_lease(uow, LEASE_NAME, self._holder))
                    )

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

    async def _take(self, uow: UnitOfWork) -> bool:
        return await leases.take_lease(uow, LEASE_NAME, self._holder, self._lease)
