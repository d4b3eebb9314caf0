"""A delivery as tracking follows it, and who may see how much of it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from uuid import UUID

from marketd.delivery.values import Eta
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.geo import Point
from marketd.tracking.uplink.judge import Fix

CLOSED: Final = "CLOSED"


class Audience(IntEnum):
    """The two kinds of watchers: buyers and viewers see positions from pickup to close, the others all of the trip."""

    RECEIVING = 0
    WORKING = 1


@dataclass(frozen=True, slots=True)
class CourierBrief:
    """What watchers may know of the courier; `vehicle` is the end of a VehicleType's name."""

    courier_id: UUID
    first_name: str
    vehicle: str
    rating_average: float = 0.0
    rating_counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Followed:
    """A delivery's present state; `state` and `outcome` are the ends of the contract's names."""

    delivery_id: UUID
    order_id: UUID
    buyer_id: UUID | None
    owner_user_id: UUID | None
    courier_user_id: UUID | None
    courier: CourierBrief | None
    state: str
    outcome: str | None
    picked_up_micros: int | None
    closed_micros: int | None
    pickup: Point | None
    dropoff: Point | None
    eta: Eta | None

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self.state == CLOSED

    def shows(self, fix: Fix, audience: Audience) -> bool:
        """Whether the audience may see this position of the delivery's courier."""
        if self.is_closed:
            return False
        if audience is Audience.WORKING:
            return True
        return self.picked_up_micros is not None and fix.receive_micros >= self.picked_up_micros


def audience_of(followed: Followed, caller: Caller) -> Audience | None:
    """How much of the delivery the caller may see; None when it is not theirs. An account may be several of them."""
    account = caller.user_id
    if caller.has(Role.ADMIN):
        return Audience.WORKING
    if account is None:
        return None
    if account == followed.owner_user_id and caller.has(Role.SELLER):
        return Audience.WORKING
    if account == followed.courier_user_id and caller.has(Role.COURIER):
        return Audience.WORKING
    if account == followed.buyer_id:
        return Audience.RECEIVING
    return None
