"""What watchers get: a delivery as they see it, and how much of it each may see. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from marketd.delivery.model import DeliveryOutcome, DeliveryState
from marketd.delivery.values import DeliveryCourier, Eta
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.geo import Point
from marketd.tracking.values import Fix


class Audience(IntEnum):
    """The kinds of watchers: buyers see positions from pickup to close, sellers from the assignment on, the others also
    where the courier was last before.

    Buyers see their own door on the map, sellers theirs, couriers and admins both.
    """

    RECEIVING = 0
    SELLING = 1
    WORKING = 2


@dataclass(frozen=True, slots=True)
class WatchedDelivery:
    """The part of a delivery that its watchers see. Points are None when nobody placed them."""

    delivery_id: UUID
    order_id: UUID
    buyer_id: UUID
    owner_user_id: UUID
    courier: DeliveryCourier | None
    state: DeliveryState
    outcome: DeliveryOutcome | None
    assigned_micros: int | None
    picked_up_micros: int | None
    pickup_point: Point | None
    dropoff_point: Point | None
    eta: Eta | None

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self.state is DeliveryState.CLOSED

    def shows(self, fix: Fix, audience: Audience) -> bool:
        """Whether the audience may see this position of the delivery's courier."""
        if self.is_closed:
            return False
        if audience is Audience.WORKING:
            return True
        since = self.picked_up_micros if audience is Audience.RECEIVING else self.assigned_micros
        return since is not None and fix.receive_micros >= since

    def points(self, audience: Audience) -> tuple[Point | None, Point | None]:
        """The doors of shop and buyer, as far as the audience may see them; nobody has to find them once it is over."""
        if self.is_closed:
            return None, None
        return (
            None if audience is Audience.RECEIVING else self.pickup_point,
            None if audience is Audience.SELLING else self.dropoff_point,
        )


def audience_of(watched: WatchedDelivery, caller: Caller) -> Audience | None:
    """How much of the delivery the caller may see; None when it is not theirs. An account may be several of them."""
    account, courier = caller.user_id, watched.courier
    if caller.has(Role.ADMIN):
        return Audience.WORKING
    if account is None:
        return None
    if courier is not None and account == courier.user_id and caller.has(Role.COURIER):
        return Audience.WORKING
    is_buyer = account == watched.buyer_id
    if account == watched.owner_user_id and caller.has(Role.SELLER):
        return Audience.WORKING if is_buyer else Audience.SELLING
    return Audience.RECEIVING if is_buyer else None
