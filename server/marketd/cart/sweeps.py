"""Housekeeping of carts: guests' carts that nobody has changed for long. An account's cart stays as long as it."""

from __future__ import annotations

from datetime import timedelta

from marketd.cart import repository
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.work.sweeps import BATCH


async def sweep_guest_carts(uow: UnitOfWork, *, lifetime: timedelta) -> int:
    """Delete one batch of guests' carts that were not changed for the lifetime; how many went."""
    return await repository.delete_old_guest_carts(uow.connection, uow.now - lifetime, BATCH)
