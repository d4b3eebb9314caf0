"""What a unit of work writes at its end, for the test that PREPAREs every statement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from marketd.kernel.call.call import OnceKey
from marketd.kernel.db import tail
from marketd.kernel.db.database import Connection
from marketd.kernel.db.tail import KeptAnswer
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job
from marketd.kernel.values.ids import new_id
from marketd.promotion.events import PromoCodeCreated

NOW: Final = datetime(2026, 11, 29, tzinfo=UTC)
ID: Final = new_id()
KEEP: Final = timedelta(days=1)


async def write_tail(connection: Connection, *, is_answered: bool, has_jobs: bool, has_events: bool) -> None:
    """Its answer, jobs and events, those of them that there are."""
    uow = UnitOfWork(connection, NOW)
    if has_jobs:
        uow.enqueue(Job(kind="statements.test", payload={}))
    if has_events:
        uow.emit(PromoCodeCreated(promo_code_id=ID, seller_id=None))
    key = OnceKey("account", "/method", str(ID), b"fingerprint")
    await tail.write(uow, KeptAnswer(key, b"answer", KEEP) if is_answered else None, NOW)
