"""What search makes of events: the relay hands them here, each once."""

from __future__ import annotations

from marketd.catalog.search import pending
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import StoredEvent


async def stock_moved(uow: UnitOfWork, event: StoredEvent) -> None:
    """Some came back of a variant, or the last one is gone: its product may be in stock now, or not any more."""
    await pending.note_standing_of_variant(uow.connection, event.aggregate_id)
