"""Orders as values: what the use cases read, change and hand out. Frozen; a change is a new value.

The columns of the tables are these fields: what is read, saved and told in events is derived from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from operator import attrgetter
from types import NoneType
from typing import Any, Final, get_args, get_type_hints
from uuid import UUID

from marketd.kernel.events.events import Json
from marketd.kernel.values.address import Address
from marketd.kernel.values.money import Money
from marketd.kernel.values.transitions import Transitions
from marketd.order.cancellations import Cancellation
from marketd.order.discounts import OrderPromotion, StandingDiscount, discount_of, standing_discounts
from marketd.order.model import TRANSITIONS, UNFULFILLED, UNSENT_TRANSITIONS, Goods, OrderState


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One line of an order, frozen but for what was cancelled. tax_rate: see kernel.values.tax."""

    item_id: UUID
    variant_id: UUID
    product_id: UUID
    title: str
    sku: str
    options: Mapping[str, str]
    image_url: str
    image_media_id: UUID | None
    quantity: int
    cancelled_quantity: int
    unit_price_minor: int
    discount_amount_minor: int
    tax_rate: int
    tax_amount_minor: int
    requires_shipping: bool

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

        The shares of all pieces together are the whole discount, whatever the order of cancelling.
        """
        gone = self.cancelled_quantity
        before = discount_of(self.discount_amount_minor, gone, self.quantity)
        after = discount_of(self.discount_amount_minor, gone + pieces, self.quantity)
        return self.unit_price_minor * pieces - (after - before)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProgress:
    """The columns of an order that change. All are written by every save, and every event carries them."""

    state: OrderState
    version: int
    due_minor: int
    update_time: datetime
    refund_reserved_minor: int = 0
    refunded_amount_minor: int = 0
    delivery_id: UUID | None = None
    courier_id: UUID | None = None
    courier_user_id: UUID | None = None
    prep_duration: timedelta | None = None
    goods: Goods | None = None
    pay_time: datetime | None = None
    accept_expire_time: datetime | None = None
    accept_time: datetime | None = None
    expected_ready_time: datetime | None = None
    ready_time: datetime | None = None
    out_for_delivery_time: datetime | None = None
    deliver_time: datetime | None = None
    cancel_time: datetime | None = None
    reject_time: datetime | None = None
    expire_time: datetime | None = None
    refund_time: datetime | None = None


CHANGEABLE: Final = tuple(field.name for field in fields(OrderProgress))
changeable_of: Final[Callable[[OrderProgress], tuple[Any, ...]]] = attrgetter(*CHANGEABLE)
"""The values of CHANGEABLE, in that order."""
_DEFAULTS: Final = {field.name: None if field.default is MISSING else field.default for field in fields(OrderProgress)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(OrderProgress):
    """An order with its items. Payment and items stand in tables of their own, all else in a row of `orders`.

    address, eta_earliest_time, eta_latest_time: None where no line needs shipping. cancellations: oldest first, at most
    MAX_CANCELLATIONS. promotions: in the order of their use, unique promo_code_id.
    """

    order_id: UUID
    order_number: str
    order_group_id: UUID
    buyer_id: UUID
    seller_id: UUID
    owner_user_id: UUID
    shop_name: str
    pickup: Address | None
    address: Address | None
    currency: str
    subtotal_minor: int
    discount_amount_minor: int
    delivery_fee_minor: int
    total_minor: int
    delivery_tax_rate: int
    delivery_tax_amount_minor: int
    usual_prep_duration: timedelta
    shop_open_time: datetime | None
    eta_earliest_time: datetime | None
    eta_latest_time: datetime | None
    create_time: datetime
    payment_id: UUID
    payment_expire_time: datetime
    items: tuple[OrderItem, ...]
    cancellations: tuple[Cancellation, ...] = ()
    delivery_discount_amount_minor: int = 0
    promotions: tuple[OrderPromotion, ...] = ()

    @property
    def delivery_cost_minor(self) -> int:
        """What the buyer pays for bringing it."""
        return self.delivery_fee_minor - self.delivery_discount_amount_minor

    @property
    def standing_discounts(self) -> tuple[StandingDiscount, ...]:
        """What its promotions take off what is left of it, in their order; nothing once it ended unfulfilled."""
        if self.state in UNFULFILLED:
            return tuple(StandingDiscount(promotion, 0, 0) for promotion in self.promotions)
        return standing_discounts(self.promotions, self.items, is_sent=not self.is_sent_no_more)

    @property
    def holds_promotions(self) -> bool:
        """Whether its promo codes count as used by it: not when it ended unfulfilled, nor when all was paid back."""
        return self.state not in UNFULFILLED and self.state is not OrderState.REFUNDED

    @property
    def tax_amount_minor(self) -> int:
        """The tax that the total included when the order was placed."""
        return sum(item.tax_amount_minor for item in self.items) + self.delivery_tax_amount_minor

    @property
    def needs_courier(self) -> bool:
        """Whether anything that is left of it is to be brought."""
        return any(item.requires_shipping and item.left for item in self.items)

    @property
    def is_sent_no_more(self) -> bool:
        """Whether all that was to be sent was cancelled before a courier had it: nobody comes, the fee goes back."""
        return self.address is not None and not self.needs_courier and self.out_for_delivery_time is None

    @property
    def is_handed_over(self) -> bool:
        """Whether the buyer has it without anybody's bringing it."""
        return self.deliver_time is not None and self.out_for_delivery_time is None

    @property
    def steps(self) -> Transitions[OrderState]:
        """Its legal steps. Nothing else changes its state."""
        return TRANSITIONS if self.needs_courier else UNSENT_TRANSITIONS

    @property
    def is_paid(self) -> bool:
        """Whether money was taken for it."""
        return self.pay_time is not None

    @property
    def refundable_minor(self) -> int:
        """What can still be given back."""
        return self.due_minor - self.refund_reserved_minor if self.is_paid else 0

    @property
    def is_given_back(self) -> bool:
        """Whether it was paid for and nothing of the money is left: nobody should prepare or bring it."""
        return self.is_paid and self.due_minor > 0 and not self.refundable_minor

    @property
    def payable_minor(self) -> int:
        """What is still to be paid; 0 once it waits for no money."""
        return self.due_minor if self.state is OrderState.PENDING_PAYMENT else 0

    @property
    def cancelled_amount_minor(self) -> int:
        """What all cancellations took off."""
        return sum(cancellation.amount_minor for cancellation in self.cancellations)

    def money(self, amount_minor: int) -> Money:
        """The amount in the order's currency."""
        return Money(amount_minor, self.currency)

    def progress(self) -> dict[str, Json]:
        """The changeable part as JSON, with how much of the items is cancelled and by how many cancellations; events
        carry it. What people wrote about these stays out of events.
        """
        progress: dict[str, Json] = {}
        for name, value in zip(CHANGEABLE, changeable_of(self), strict=True):
            if value is not None:
                progress[name] = _json(value)
        cancelled: dict[str, Json] = {
            str(item.item_id): item.cancelled_quantity for item in self.items if item.cancelled_quantity
        }
        if cancelled:
            progress["cancelled"] = cancelled
        if self.cancellations:
            progress["cancellations"] = len(self.cancellations)
        return progress

    def with_progress(self, progress: Mapping[str, Json]) -> Order:
        """This order as it was when `progress` was made of it."""
        values: dict[str, Any] = {name: progress.get(name, default) for name, default in _DEFAULTS.items()}
        for name, read in _FROM_JSON.items():
            if values[name] is not None:
                values[name] = read(values[name])
        cancelled = progress.get("cancelled")
        counts: Mapping[str, Any] = cancelled if isinstance(cancelled, dict) else {}
        items = tuple(replace(item, cancelled_quantity=int(counts.get(str(item.item_id), 0))) for item in self.items)
        count = progress.get("cancellations", 0)
        cancellations = self.cancellations[: count if isinstance(count, int) else 0]
        return replace(self, items=items, cancellations=cancellations, **values)


def _json(value: object) -> Json:
    match value:
        case int():
            return value
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _:
            return str(value)


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _readers() -> dict[str, Callable[[Any], object]]:
    """How those fields come back from JSON that JSON has no type for."""
    readers: dict[str, Callable[[Any], object]] = {}
    for name, hint in get_type_hints(OrderProgress).items():
        kind = next((part for part in get_args(hint) if part is not NoneType), hint)
        if kind is datetime:
            readers[name] = datetime.fromisoformat
        elif kind is timedelta:
            readers[name] = _span
        elif kind is UUID or issubclass(kind, Enum):
            readers[name] = kind
    return readers


_FROM_JSON: Final = _readers()


@dataclass(frozen=True, slots=True)
class OrderGroup:
    """A locked group: everything bought at once."""

    order_group_id: UUID
    buyer_id: UUID
    currency: str


@dataclass(frozen=True, slots=True)
class OrdersWaiting:
    """Of a group: how many orders wait for money, and how much of it."""

    count: int
    due_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """What a list is narrowed to; None and empty mean everything. `create_time_before` is exclusive.

    Each tuple: unique members, of which one must fit.
    """

    states: tuple[OrderState, ...] = ()
    order_numbers: tuple[str, ...] = ()
    buyer_ids: tuple[UUID, ...] = ()
    seller_ids: tuple[UUID, ...] = ()
    courier_ids: tuple[UUID, ...] = ()
    order_group_ids: tuple[UUID, ...] = ()
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
