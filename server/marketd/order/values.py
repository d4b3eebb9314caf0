"""Orders as values: what the use cases read, change and hand out. Frozen; a change is a new value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.events.events import Json
from marketd.kernel.values.address import Address
from marketd.kernel.values.money import Money
from marketd.order.model import (
    CANCELLABLE,
    IN_COURIERS_HANDS,
    CancellationActor,
    CancellationReason,
    OrderAction,
    OrderState,
)

_INSTANTS = (
    "update_time",
    "pay_time",
    "accept_time",
    "expected_ready_time",
    "ready_time",
    "out_for_delivery_time",
    "deliver_time",
    "cancel_time",
    "reject_time",
    "expire_time",
    "refund_time",
)
_IDS = ("delivery_id", "courier_id", "courier_user_id")
CHANGEABLE = (
    "state",
    "version",
    "due_minor",
    "refund_reserved_minor",
    "refunded_minor",
    *_IDS,
    "prep_minutes",
    "cancel_reason",
    "cancel_note",
    "cancel_actor",
    *_INSTANTS,
)
"""The columns of an order that change, in the order in which the repository writes them."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an order, frozen but for what was cancelled."""

    item_id: UUID
    variant_id: UUID
    product_id: UUID
    title: str
    sku: str
    options: Mapping[str, str]
    image_url: str
    quantity: int
    cancelled_quantity: int
    unit_price_minor: int
    discount_minor: int

    @property
    def left(self) -> int:
        """Pieces that are not cancelled."""
        return self.quantity - self.cancelled_quantity

    @property
    def line_total_minor(self) -> int:
        """Unit price times quantity."""
        return self.unit_price_minor * self.quantity

    def worth_minor(self, pieces: int) -> int:
        """What `pieces` more cancelled pieces give back: their price less their share of the line's discount.

        The shares of all pieces together are the whole discount, whatever the order of cancelling (rounding is taken on
        the running sum).
        """

        def discount_of(count: int) -> int:
            return self.discount_minor * count // self.quantity

        gone = self.cancelled_quantity
        return self.unit_price_minor * pieces - (discount_of(gone + pieces) - discount_of(gone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order with its items; the fields are the columns of model.OrderRow."""

    order_id: UUID
    order_number: str
    order_group_id: UUID
    buyer_id: UUID
    seller_id: UUID
    owner_user_id: UUID
    shop_name: str
    pickup: Address | None
    address: Address
    currency: str
    subtotal_minor: int
    discount_minor: int
    delivery_fee_minor: int
    total_minor: int
    usual_prep_minutes: int
    eta_earliest_time: datetime
    eta_latest_time: datetime
    create_time: datetime
    payment_id: UUID
    payment_expire_time: datetime
    items: tuple[Item, ...]

    state: OrderState
    version: int
    due_minor: int
    update_time: datetime
    refund_reserved_minor: int = 0
    refunded_minor: int = 0
    delivery_id: UUID | None = None
    courier_id: UUID | None = None
    courier_user_id: UUID | None = None
    prep_minutes: int | None = None
    cancel_reason: CancellationReason | None = None
    cancel_note: str | None = None
    cancel_actor: CancellationActor | None = None
    pay_time: datetime | None = None
    accept_time: datetime | None = None
    expected_ready_time: datetime | None = None
    ready_time: datetime | None = None
    out_for_delivery_time: datetime | None = None
    deliver_time: datetime | None = None
    cancel_time: datetime | None = None
    reject_time: datetime | None = None
    expire_time: datetime | None = None
    refund_time: datetime | None = None

    @property
    def is_paid(self) -> bool:
        """Whether money was taken for it."""
        return self.pay_time is not None

    @property
    def refundable_minor(self) -> int:
        """What can still be given back."""
        return self.due_minor - self.refund_reserved_minor if self.is_paid else 0

    @property
    def cancellation_time(self) -> datetime | None:
        """When it was cancelled or rejected."""
        return self.cancel_time or self.reject_time

    def money(self, amount_minor: int) -> Money:
        """The amount in the order's currency."""
        return Money(amount_minor, self.currency)

    def face(self) -> dict[str, Json]:
        """The changeable part as JSON; events carry it."""
        face: dict[str, Json] = {}
        for name in CHANGEABLE:
            value = getattr(self, name)
            if value is not None:
                face[name] = value if isinstance(value, int) else _text(value)
        cancelled: dict[str, Json] = {
            str(item.item_id): item.cancelled_quantity for item in self.items if item.cancelled_quantity
        }
        if cancelled:
            face["cancelled"] = cancelled
        return face

    def with_face(self, face: Mapping[str, Json]) -> Order:
        """This order as it was when `face` was taken."""
        values: dict[str, Any] = {name: face.get(name) for name in CHANGEABLE}
        for name in _INSTANTS:
            if values[name] is not None:
                values[name] = datetime.fromisoformat(values[name])
        for name in _IDS:
            if values[name] is not None:
                values[name] = UUID(values[name])
        values["state"] = OrderState(values["state"])
        if values["cancel_reason"] is not None:
            values["cancel_reason"] = CancellationReason(values["cancel_reason"])
            values["cancel_actor"] = CancellationActor(values["cancel_actor"])
        cancelled = face.get("cancelled")
        counts: Mapping[str, Any] = cancelled if isinstance(cancelled, dict) else {}
        items = tuple(replace(item, cancelled_quantity=int(counts.get(str(item.item_id), 0))) for item in self.items)
        return replace(self, items=items, **values)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


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
        actions.append(OrderAction.ACCEPT)
    if order.state is OrderState.ACCEPTED and viewer.is_seller:
        actions.append(OrderAction.MARK_READY)
    if order.state in CANCELLABLE and (viewer.is_buyer or viewer.is_seller or viewer.is_admin):
        actions.append(OrderAction.CANCEL)
    if order.refundable_minor > 0 and (viewer.is_seller or viewer.is_admin):
        actions.append(OrderAction.REFUND)
    return tuple(actions)
