"""How a caller stands to an order, and so what it may see and do."""

from __future__ import annotations

from dataclasses import dataclass

from marketd.kernel.call.caller import Caller, Role
from marketd.order.model import CANCELLABLE, IN_COURIERS_HANDS, OrderAction, OrderState
from marketd.order.values import Order


@dataclass(frozen=True, slots=True)
class Viewer:
    """How the caller stands to an order."""

    is_buyer: bool
    is_seller: bool
    is_courier: bool
    is_admin: bool
    is_service: bool

    @property
    def may_see(self) -> bool:
        """Whether it exists for this caller at all."""
        return self.is_buyer or self.is_seller or self.is_courier or self.is_admin or self.is_service


def viewer_of(caller: Caller, order: Order) -> Viewer:
    """The caller's standing; a courier's lasts while the order is in its hands."""
    account = caller.user_id
    return Viewer(
        is_buyer=account is not None and account == order.buyer_id,
        is_seller=account is not None and account == order.owner_user_id,
        is_courier=account is not None and account == order.courier_user_id and order.state in IN_COURIERS_HANDS,
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
