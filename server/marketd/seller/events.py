"""The events of seller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from marketd.kernel.events.events import Event


@dataclass(frozen=True, kw_only=True)
class SellerCreated(Event):
    """Somebody applied to sell."""

    event_type: ClassVar[str] = "seller.created"
    aggregate: ClassVar[str] = "seller"

    seller_id: UUID
    owner_user_id: UUID
    handle: str


@dataclass(frozen=True, kw_only=True)
class SellerApproved(Event):
    """A seller may sell from now on."""

    event_type: ClassVar[str] = "seller.approved"
    aggregate: ClassVar[str] = "seller"

    seller_id: UUID
    owner_user_id: UUID
