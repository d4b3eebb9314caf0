"""What address books hand around."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.kernel.values.address import Address


@dataclass(frozen=True, slots=True)
class SavedAddress:
    """An address in somebody's book. An empty label means none; `primary` is the one to offer first."""

    address_id: UUID
    label: str
    postal_address: Address
    primary: bool
    create_time: datetime
    update_time: datetime
    version: int
