"""How a caller stands to an order, and so what it may see and do. docs/viewers.md has the table of what is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.address import Address
from marketd.order.model import CANCELLABLE, IN_COURIERS_HANDS, CancellationReason, OrderAction, OrderState
from marketd.order.values import Order
from marketd.promotion.model import Funding

ON_A_PARCEL: Final = ("recipient", "lines", "city", "region", "postal_code", "region_code")
"""What a seller may know of where it goes, and what a receipt says; the way to the door is the courier's."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """How the caller stands to an order; an account may be several of these at once."""

    is_buyer: bool
    is_seller: bool
    is_courier: bool
    is_admin: bool
    is_service: bool

    @property
    def may_see(self) -> bool:
        """Whether it exists for this caller at all."""
        return self.sees_whole or self.is_courier

    @property
    def sees_whole(self) -> bool:
        """Whether it is more than a parcel to this caller: a courier sees no money, no account and no reasons."""
        return self.is_buyer or self.is_seller or self.is_admin or self.is_service

    def address(self, order: Order) -> Address | None:
        """Where it goes, as far as the caller may know; None where nothing is sent."""
        if order.address is None or self.is_buyer or self.is_courier or self.is_admin or self.is_service:
            return order.address
        return order.address.part(*ON_A_PARCEL)

    def sees_why(self, reason: CancellationReason) -> bool:
        """Whether the caller may know that this was the reason; of a suspicion nobody is told whom it is about."""
        return reason is not CancellationReason.SUSPECTED_FRAUD or self.is_seller or self.is_admin or self.is_service

    def with_known_codes(self, order: Order) -> Order:
        """The order with an empty code where the caller may not read it. A shop that refuses an order gives the use of
        a voucher back; who could read what the marketplace gave the buyer could use it up before the buyer does.
        """
        if not order.promotions or self.is_buyer or self.is_admin or self.is_service:
            return order
        known = (each if each.funded_by is Funding.SELLER else replace(each, code="") for each in order.promotions)
        return replace(order, promotions=tuple(known))


def viewer_of(caller: Caller, order: Order) -> Viewer:
    """The caller's standing; a courier's lasts while the order is in its hands and the role is not taken."""
    account = caller.user_id
    return Viewer(
        is_buyer=account is not None and account == order.buyer_id,
        is_seller=account is not None and account == order.owner_user_id,
        is_courier=account is not None
        and account == order.courier_user_id
        and order.state in IN_COURIERS_HANDS
        and caller.has(Role.COURIER),
        is_admin=caller.has(Role.ADMIN),
        is_service=caller.has(Role.SERVICE),
    )


def allowed_actions(order: Order, viewer: Viewer) -> tuple[OrderAction, ...]:
    """What the caller may do with the order now, by its state alone."""
    actions: list[OrderAction] = []
    if order.state is OrderState.PENDING_PAYMENT and viewer.is_buyer:
        actions.append(OrderAction.PAY)
    if order.state is OrderState.PAID and viewer.is_seller:
        actions += [OrderAction.ACCEPT, OrderAction.REJECT]
    if order.state is OrderState.ACCEPTED and viewer.is_seller:
        actions.append(OrderAction.MARK_READY)
    if order.state in CANCELLABLE and (viewer.is_buyer or viewer.is_seller or viewer.is_admin):
        actions.append(OrderAction.CANCEL)
    if order.refundable_minor > 0 and (viewer.is_seller or viewer.is_admin):
        actions.append(OrderAction.REFUND)
    return tuple(actions)
