"""What reviews ask of upper slices; app.py wires them."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ratings import Rating


class CourierRatings(Protocol):
    """Writes down what buyers think of a courier; delivery's `set_rating` is one."""

    async def __call__(self, uow: UnitOfWork, courier_id: UUID, rating: Rating) -> None:
        """Write it in the transaction that changed it, which has the sum's row locked."""
        ...
