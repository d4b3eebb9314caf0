"""What a worker sends to its database: the texts of the statements, for comparing what two callers cost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any
from weakref import WeakSet

from marketd.kernel.db.transactor import Transactor
from sqlalchemy import event

# The time that is left stands in it.
_TIMEOUT = re.compile(r"statement_timeout = \d+")


class Sent:
    """Listens to every connection of a transactor from the next time on that it is taken from the pool."""

    def __init__(self, tx: Transactor) -> None:
        self._texts: list[str] = []
        self._heard: WeakSet[Any] = WeakSet()
        event.listen(tx._engine.sync_engine, "checkout", self._listen)

    def _listen(self, connection: Any, *_: object) -> None:
        driver = connection.driver_connection
        if driver not in self._heard:
            self._heard.add(driver)
            driver.add_query_logger(lambda record: self._texts.append(_TIMEOUT.sub("statement_timeout", record.query)))

    async def during(self, work: Awaitable[object]) -> list[str]:
        """The statements that are sent while the work is done, and nothing else is."""
        await asyncio.sleep(0)  # asyncpg tells its listeners a moment later
        self._texts.clear()
        await work
        await asyncio.sleep(0)
        return list(self._texts)
