"""The events of stock. Their aggregate is the stock, whose id is the variant's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from marketd.inventory.model import StockPolicy
from marketd.kernel.events.events import Event


@dataclass(frozen=True, kw_only=True)
class StockEvent(Event):
    """What all of them say."""

    aggregate: ClassVar[str] = "stock"

    variant_id: UUID
    seller_id: UUID

    @property
    def aggregate_id(self) -> UUID:
        """The variant's id."""
        return self.variant_id


@dataclass(frozen=True, kw_only=True)
class StockChanged(StockEvent):
    """A count, a promise or a policy changed: how the stock is after the transaction, and how it was before.

    One a variant and transaction; opening a stock is none.
    """

    event_type: ClassVar[str] = "stock.changed"

    policy: StockPolicy
    on_hand: int
    reserved: int
    source_version: int | None
    stock_version: int
    update_time: datetime
    previous_policy: StockPolicy
    previous_on_hand: int
    previous_reserved: int


@dataclass(frozen=True, kw_only=True)
class StockRanLow(StockEvent):
    """Buyers were told that there is enough, and now that few or none are left."""

    event_type: ClassVar[str] = "stock.ran_low"

    available: int


@dataclass(frozen=True, kw_only=True)
class StockRanOut(StockEvent):
    """Buyers were told that there are some, and now that none is left or that they would wait."""

    event_type: ClassVar[str] = "stock.ran_out"


@dataclass(frozen=True, kw_only=True)
class StockCameBack(StockEvent):
    """Buyers were told that none is left, and now that there are some."""

    event_type: ClassVar[str] = "stock.came_back"

    available: int
