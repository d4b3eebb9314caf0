"""Readiness: health says SERVING only while the database answers, so balancers send calls elsewhere in the meantime."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import DATABASE_ERRORS
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.transport.health import Health

_log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 2.0


async def watch_database(database: Transactor, health: Health) -> None:
    """Ask the database twice a second until cancelled.

    `database` has a pool of its own: a full pool is overload, which callers are told one by one, and no reason to say
    that nothing is served.
    """
    ready = True
    while True:
        was, ready = ready, await _answers(database)
        if ready:
            health.set_serving()
        else:
            health.set_not_serving()
        if ready is not was:
            _log.warning("readiness_changed", serving=ready)
        await asyncio.sleep(PAUSE_SECONDS)


async def _answers(database: Transactor) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await database.read(_ask)
    except (Refusal, TimeoutError, *DATABASE_ERRORS):
        return False
    return True


async def _ask(unit: ReadUnit) -> None:
    await unit.connection.fetchval("SELECT 1")
