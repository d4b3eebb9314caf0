"""The cart's housekeeping: quotes that nobody can order any more."""

from __future__ import annotations

from datetime import timedelta

from marketd.cart import repository
from marketd.kernel.transactor import Transactor

BATCH = 2_000
KEEP_QUOTES = timedelta(days=1)
"""Expired quotes stay for a day, for whoever asks what happened."""


async def sweep_quotes(tx: Transactor) -> int:
    """Delete one batch of old quotes; how many went."""
    return await tx.run_bare(
        "cart.sweep_quotes", lambda uow: repository.delete_quotes(uow.connection, uow.now - KEEP_QUOTES, BATCH)
    )
