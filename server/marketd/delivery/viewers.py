"""How a caller stands to a delivery, and so how much of it there is to see. docs/viewers.md has the table."""

from __future__ import annotations

from dataclasses import dataclass

from marketd.delivery.model import DeliveryState
from marketd.delivery.values import Delivery
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.address import Address


@dataclass(frozen=True, slots=True)
class Viewer:
    """How the caller stands to a delivery; an account may be several of these at once.

    `is_courier` is who brings it now, or brought it; `may_bring`: whose role was not taken. `is_open` is the
    delivery's. `is_office`: admins and services.
    """

    is_buyer: bool
    is_seller: bool
    is_courier: bool
    may_bring: bool
    is_office: bool
    is_open: bool

    @property
    def may_see(self) -> bool:
        """Whether it exists for this caller at all."""
        return self.is_party or self.is_office

    @property
    def is_party(self) -> bool:
        """Whether the caller hands it out, brings it or receives it, and so may look at what proves it."""
        return self.is_buyer or self.is_seller or self.is_courier

    @property
    def brings_it(self) -> bool:
        """Whether the caller has to find both doors: once it is closed, a courier knows of no people any more."""
        return self.is_courier and self.may_bring and self.is_open

    @property
    def sees_people(self) -> bool:
        """Whether the caller may know which account receives it, and read what was said about it."""
        return self.is_buyer or self.is_seller or self.is_office

    @property
    def sees_way(self) -> bool:
        """Whether the caller may know both doors, and so how far they are apart."""
        return self.brings_it or self.is_office

    @property
    def sees_code(self) -> bool:
        """Whether the caller is the one who tells the code at the door."""
        return self.is_buyer and self.is_open

    def pickup_address(self, delivery: Delivery) -> Address | None:
        """What the caller may know of the shop's door."""
        return delivery.pickup.address if self.is_seller or self.sees_way else None

    def dropoff_address(self, delivery: Delivery) -> Address | None:
        """What the caller may know of the buyer's door; a seller learns to whom and into which city."""
        address = delivery.dropoff.address
        if address is None or self.is_buyer or self.sees_way:
            return address
        return address.part("recipient", "city") if self.is_seller else None


def viewer_of(caller: Caller, delivery: Delivery) -> Viewer:
    """The caller's standing."""
    account, courier = caller.user_id, delivery.courier
    return Viewer(
        is_buyer=account is not None and account == delivery.buyer_id,
        is_seller=account is not None and account == delivery.owner_user_id,
        is_courier=account is not None and courier is not None and account == courier.user_id,
        may_bring=caller.has(Role.COURIER),
        is_office=caller.has(Role.ADMIN, Role.SERVICE),
        is_open=delivery.state is not DeliveryState.CLOSED,
    )
