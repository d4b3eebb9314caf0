"""Housekeeping of quotes: those that nobody can order any more."""

from __future__ import annotations

from datetime import timedelta

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.work.sweeps import delete_old

KEEP_QUOTES = timedelta(days=1)
"""Expired quotes stay for a day, for whoever asks what happened."""


async def sweep_quotes(uow: UnitOfWork) -> int:
    """Delete one batch of old quotes; how many went."""
    return await delete_old(uow.connection, "quotes", "quote_id", "expire_time", uow.now - KEEP_QUOTES)
