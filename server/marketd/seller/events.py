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
class SellerMoved(Event):
    """What the events of a seller's state have in common.

    `state` is the one after it. `owner_can_act`: whether the owner's account is active and may act as a seller, so that
    somebody can see to the open orders.
    """

    aggregate: ClassVar[str] = "seller"

    seller_id: UUID
    owner_user_id: UUID
    state: str
    owner_can_act: bool


@dataclass(frozen=True, kw_only=True)
class SellerApproved(SellerMoved):
    """A seller may sell from now on."""

    event_type: ClassVar[str] = "seller.approved"


@dataclass(frozen=True, kw_only=True)
class SellerRejected(SellerMoved):
    """The application was turned down."""

    event_type: ClassVar[str] = "seller.rejected"


@dataclass(frozen=True, kw_only=True)
class SellerSuspended(SellerMoved):
    """A seller sells no more for now, or one that was suspended has lost its owner as well."""

    event_type: ClassVar[str] = "seller.suspended"


@dataclass(frozen=True, kw_only=True)
class SellerReinstated(SellerMoved):
    """A seller sells again."""

    event_type: ClassVar[str] = "seller.reinstated"


@dataclass(frozen=True, kw_only=True)
class SellerClosed(SellerMoved):
    """A shop has closed."""

    event_type: ClassVar[str] = "seller.closed"
