"""Inventory's values: what its use cases take and give. No tables, SQL or protobuf here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Stock:
    """The stock of one variant as it is now."""

    variant_id: UUID
    seller_id: UUID
    on_hand: int
    reserved: int
    source_version: int | None
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def available(self) -> int:
        """How many pieces can still be sold."""
        return self.on_hand - self.reserved


@dataclass(frozen=True, slots=True)
class NewStock:
    """The first stock of a new variant; `quantity` 0..MAX_QUANTITY."""

    variant_id: UUID
    seller_id: UUID
    quantity: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StockLine:
    """So many pieces of a variant; `quantity` is positive."""

    variant_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class StockCount:
    """A seller's count of one variant: how many pieces are on hand, promised ones included.

    `source_version` grows with each count in the seller's own system; None means that the count always holds. An empty
    `etag` is unconditional.
    """

    variant_id: UUID
    quantity: int
    reason: str = ""
    source_version: int | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A line that cannot be had: `requested` pieces were asked for and `available` are there."""

    variant_id: UUID
    requested: int
    available: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of a count; `applied` is False when its `source_version` was not above the stored one."""

    stock: Stock
    applied: bool
