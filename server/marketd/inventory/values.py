"""Inventory's values: what its use cases take and give. No tables, SQL or protobuf here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from marketd.inventory.model import LOW_STOCK, ActorKind, MovementKind, StockPolicy, StockState
from marketd.kernel.call.caller import Caller, Role


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a variant can be bought: `available` pieces are there that nobody was promised.

    Below 0 so many are owed to buyers beyond what is there.
    """

    policy: StockPolicy
    available: int

    @property
    def state(self) -> StockState:
        """What buyers are told."""
        if self.policy is StockPolicy.UNTRACKED:
            return StockState.IN_STOCK
        if self.available > 0:
            return StockState.LOW_STOCK if self.available <= LOW_STOCK else StockState.IN_STOCK
        return StockState.BACKORDER if self.policy is StockPolicy.CONTINUE else StockState.OUT_OF_STOCK

    def covers(self, quantity: int) -> bool:
        """Whether so many pieces can be ordered now."""
        return self.policy is not StockPolicy.TRACKED or self.available >= quantity

    @classmethod
    def read(cls, found: Sequence[Any] | None) -> Availability:
        """Out of what `service.availability_sql` gives; None is a variant without stock."""
        return NOTHING if found is None else cls(StockPolicy(found[0]), found[1])


NOTHING: Final = Availability(StockPolicy.TRACKED, 0)
"""Of a variant that has no stock."""


@dataclass(frozen=True, slots=True)
class StockLevel:
    """What a seller says of a stock: until when the variant is sold, and how many pieces are there, promised or not."""

    policy: StockPolicy
    on_hand: int

    @classmethod
    def read(cls, found: Sequence[Any] | None) -> StockLevel:
        """Out of what `service.level_sql` gives; None is a variant without stock."""
        return cls(StockPolicy.TRACKED, 0) if found is None else cls(StockPolicy(found[0]), found[1])


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changed how many pieces are there: as whom, and the account or service; None for the marketplace itself."""

    kind: ActorKind
    actor_id: UUID | None

    @classmethod
    def of(cls, caller: Caller, *, owns: bool = False) -> Self:
        """The caller as an actor; `owns` says that the stock is of the caller's own shop."""
        if caller.user_id is None:
            return cls(ActorKind.SYSTEM, None)
        if owns or not caller.has(Role.ADMIN, Role.SERVICE):
            return cls(ActorKind.SELLER, caller.user_id)
        return cls(ActorKind.ADMIN if caller.has(Role.ADMIN) else ActorKind.SERVICE, caller.user_id)


@dataclass(frozen=True, slots=True)
class Stock:
    """The stock of one variant as it is now."""

    variant_id: UUID
    seller_id: UUID
    policy: StockPolicy
    on_hand: int
    reserved: int
    source_version: int | None
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def available(self) -> int:
        """How many pieces nobody was promised; below 0 so many are owed beyond what is there."""
        return self.on_hand - self.reserved

    @property
    def oversold(self) -> int:
        """How many pieces were promised that are not there."""
        return max(0, self.reserved - self.on_hand)


@dataclass(frozen=True, slots=True)
class NewStock:
    """The first stock of a new variant; `quantity` 0..MAX_QUANTITY."""

    variant_id: UUID
    seller_id: UUID
    quantity: int
    reason: str = ""
    policy: StockPolicy = StockPolicy.TRACKED


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
class Adjustment:
    """So many pieces more, or fewer, of one variant are on hand; `delta` is not 0. An empty `etag` is unconditional."""

    variant_id: UUID
    delta: int
    reason: str = ""
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of how many pieces are on hand. `reference` is the order that they went or came with."""

    movement_id: UUID
    variant_id: UUID
    seller_id: UUID
    kind: MovementKind
    delta: int
    on_hand: int
    reason: str
    actor: ActorKind
    actor_id: UUID | None
    reference: UUID | None
    create_time: datetime


@dataclass(frozen=True, slots=True)
class MovementQuery:
    """What a list of movements is narrowed to. Empty, and None: to all. No repeats."""

    variant_ids: tuple[UUID, ...] = ()
    seller_ids: tuple[UUID, ...] = ()
    kinds: tuple[MovementKind, ...] = ()
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shortage:
    """A line that cannot be had: `requested` pieces were asked for and `available` are there."""

    variant_id: UUID
    requested: int
    available: int


@dataclass(frozen=True, slots=True)
class StockChange:
    """A stock that a statement has changed, and what of it was before."""

    stock: Stock
    previous_policy: StockPolicy
    previous_on_hand: int
    previous_reserved: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of a count; `applied` is False when its `source_version` was not above the stored one."""

    stock: Stock
    applied: bool
