"""What seller asks of slices above it; app.py wires them."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork


class SellerHolder(Protocol):
    """Knows of something that a shop must see to before it may close: orders."""

    async def __call__(self, uow: UnitOfWork, seller_id: UUID) -> str | None:
        """What holds the shop, such as `order K7QD-2XMP`; None when nothing does. The shop's row is locked."""
        ...
