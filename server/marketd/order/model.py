"""The order's tables, its states, and the one table of the steps between them."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Interval,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base
from marketd.kernel.values.transitions import Transitions


class OrderState(StrEnum):
    """Where an order stands; the values are those of the contract without their prefix."""

    PENDING_PAYMENT = "PENDING_PAYMENT"
    PAID = "PAID"
    ACCEPTED = "ACCEPTED"
    READY = "READY"
    OUT_FOR_DELIVERY = "OUT_FOR_DELIVERY"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"

    @property
    def is_over(self) -> bool:
        """Whether the order's story has ended; after DELIVERED only its money can still move."""
        return self in _OVER


_S = OrderState
_STEPS: Final = {
    _S.PENDING_PAYMENT: (_S.PAID, _S.CANCELLED, _S.EXPIRED),
    _S.PAID: (_S.ACCEPTED, _S.REJECTED, _S.CANCELLED),
    _S.ACCEPTED: (_S.READY, _S.CANCELLED),
    _S.READY: (_S.OUT_FOR_DELIVERY, _S.CANCELLED),
    _S.OUT_FOR_DELIVERY: (_S.DELIVERED, _S.CANCELLED),
    _S.DELIVERED: (_S.REFUNDED,),
    _S.CANCELLED: (),
    _S.REJECTED: (),
    _S.EXPIRED: (),
    _S.REFUNDED: (),
}
TRANSITIONS: Final = Transitions("order", _STEPS)
"""Every legal step of an order that a courier brings."""
_HAND_OVER: Final = (_S.DELIVERED, _S.CANCELLED)
UNSENT_TRANSITIONS: Final = Transitions("order", {**_STEPS, _S.ACCEPTED: _HAND_OVER, _S.READY: _HAND_OVER})
"""Those of one of which nothing needs shipping: when it is ready the buyer has it, also when what was to be sent is
cancelled after that.
"""

_OVER: Final = frozenset({_S.DELIVERED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED, _S.REFUNDED})
UNFULFILLED: Final = frozenset({_S.CANCELLED, _S.REJECTED, _S.EXPIRED})
"""States in which an order ended without the buyer's having anything of it."""
CANCELLABLE: Final = frozenset({_S.PENDING_PAYMENT, _S.PAID, _S.ACCEPTED, _S.READY})
"""States in which a person may cancel. What is on its way is cancelled only when nobody can deliver it."""
BEFORE_PICKUP: Final = frozenset({_S.PAID, _S.ACCEPTED, _S.READY})
"""States in which an order is paid and still with the seller: it ends when all of its money is given back."""
IN_COURIERS_HANDS: Final = frozenset({_S.READY, _S.OUT_FOR_DELIVERY})
"""States in which the assigned courier may see the order."""


class CancellationReason(StrEnum):
    """Why an order was cancelled, as in the contract."""

    UNSPECIFIED = "UNSPECIFIED"
    CHANGED_MIND = "CHANGED_MIND"
    ORDERED_BY_MISTAKE = "ORDERED_BY_MISTAKE"
    TOO_SLOW = "TOO_SLOW"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    SELLER_UNAVAILABLE = "SELLER_UNAVAILABLE"
    UNDELIVERABLE = "UNDELIVERABLE"
    SUSPECTED_FRAUD = "SUSPECTED_FRAUD"
    OTHER = "OTHER"
    NOT_ACCEPTED_IN_TIME = "NOT_ACCEPTED_IN_TIME"
    REFUNDED = "REFUNDED"


class CancellationActor(StrEnum):
    """Who cancelled it, as in the contract."""

    BUYER = "BUYER"
    SELLER = "SELLER"
    ADMIN = "ADMIN"
    SYSTEM = "SYSTEM"


_R = CancellationReason
_BUYERS: Final = frozenset({_R.UNSPECIFIED, _R.CHANGED_MIND, _R.ORDERED_BY_MISTAKE, _R.TOO_SLOW, _R.OTHER})
_SELLERS: Final = frozenset(
    {_R.UNSPECIFIED, _R.OUT_OF_STOCK, _R.SELLER_UNAVAILABLE, _R.UNDELIVERABLE, _R.SUSPECTED_FRAUD, _R.OTHER}
)
REASONS: Final = {
    CancellationActor.BUYER: _BUYERS,
    CancellationActor.SELLER: _SELLERS,
    CancellationActor.ADMIN: _BUYERS | _SELLERS,
    CancellationActor.SYSTEM: frozenset(_R),
}
"""The reasons that each may give."""


class Goods(StrEnum):
    """What became of the goods of an order that nobody delivers."""

    KEPT_BACK = "KEPT_BACK"
    """They never left the shop."""
    RETURNED = "RETURNED"
    """They left it and came back."""
    LOST = "LOST"
    """They left it and did not come back so far."""


class OrderAction(StrEnum):
    """What a caller may do with an order, as in the contract."""

    PAY = "PAY"
    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    MARK_READY = "MARK_READY"
    CANCEL = "CANCEL"
    REFUND = "REFUND"


_INSTANT = DateTime(timezone=True)
_STATES = ", ".join(f"'{state.value}'" for state in OrderState)
_GOODS = ", ".join(f"'{goods.value}'" for goods in Goods)


class OrderGroupTable(Base):
    """Everything bought at once. Its row lock comes before all others of its orders and payments."""

    __tablename__ = "order_groups"

    order_group_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    buyer_id: Mapped[UUID] = mapped_column(Uuid)
    quote_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    payment_id: Mapped[UUID] = mapped_column(Uuid)
    total_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    payment_expire_time: Mapped[datetime] = mapped_column(_INSTANT)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)


class OrderTable(Base):
    """What one buyer bought from one seller.

    `total_minor` is frozen. `due_minor` is what this order still is of its group's payment: the total, less what was
    cancelled before any money was taken. `refund_reserved_minor` is what is given back or about to be,
    `refunded_amount_minor` the part of it that the provider has given back. `cancellations` is a list of
    values.Cancellation, oldest first; `promotions` one of discounts.OrderPromotion, in the order of their use. `goods`
    says what became of the pieces of one that was READY or further when nobody could deliver it. One that is not sent
    has neither an `address` nor the instants of an estimate.
    """

    __tablename__ = "orders"
    __table_args__ = (
        Index(None, "order_group_id"),
        Index(None, "buyer_id", "order_id"),
        Index(None, "seller_id", "order_id"),
        Index(None, "courier_user_id", "order_id", postgresql_where=sql("courier_user_id IS NOT NULL")),
        Index(None, "courier_id", "order_id", postgresql_where=sql("courier_id IS NOT NULL")),
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        CheckConstraint(f"goods IN ({_GOODS})", name="goods"),
        CheckConstraint(
            "0 <= refunded_amount_minor AND refunded_amount_minor <= refund_reserved_minor"
            " AND refund_reserved_minor <= due_minor AND due_minor <= total_minor",
            name="money",
        ),
        CheckConstraint(
            "total_minor = subtotal_minor - discount_amount_minor + delivery_fee_minor"
            " - delivery_discount_amount_minor",
            name="total",
        ),
        CheckConstraint("delivery_discount_amount_minor BETWEEN 0 AND delivery_fee_minor", name="delivery_discount"),
        CheckConstraint("num_nulls(address, eta_earliest_time, eta_latest_time) IN (0, 3)", name="sent"),
        CheckConstraint("delivery_tax_rate BETWEEN 0 AND 1000000 AND delivery_tax_amount_minor >= 0", name="tax"),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    order_number: Mapped[str] = mapped_column(Text, unique=True)
    order_group_id: Mapped[UUID] = mapped_column(ForeignKey("order_groups.order_group_id"))
    buyer_id: Mapped[UUID] = mapped_column(Uuid)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    owner_user_id: Mapped[UUID] = mapped_column(Uuid)
    shop_name: Mapped[str] = mapped_column(Text)
    pickup: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    currency: Mapped[str] = mapped_column(Text)
    subtotal_minor: Mapped[int] = mapped_column(BigInteger)
    discount_amount_minor: Mapped[int] = mapped_column(BigInteger)
    delivery_fee_minor: Mapped[int] = mapped_column(BigInteger)
    delivery_discount_amount_minor: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    promotions: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=sql("'[]'"))
    total_minor: Mapped[int] = mapped_column(BigInteger)
    delivery_tax_rate: Mapped[int] = mapped_column(Integer)
    delivery_tax_amount_minor: Mapped[int] = mapped_column(BigInteger)
    usual_prep_duration: Mapped[timedelta] = mapped_column(Interval)
    shop_open_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    eta_earliest_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    eta_latest_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)

    # What changes; the fields of values.OrderProgress.
    state: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    due_minor: Mapped[int] = mapped_column(BigInteger)
    refund_reserved_minor: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    refunded_amount_minor: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    delivery_id: Mapped[UUID | None] = mapped_column(Uuid)
    courier_id: Mapped[UUID | None] = mapped_column(Uuid)
    courier_user_id: Mapped[UUID | None] = mapped_column(Uuid)
    prep_duration: Mapped[timedelta | None] = mapped_column(Interval)
    goods: Mapped[str | None] = mapped_column(Text)
    update_time: Mapped[datetime] = mapped_column(_INSTANT)
    pay_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    accept_expire_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    accept_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    expected_ready_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    ready_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    out_for_delivery_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    deliver_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    cancel_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    reject_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    expire_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    refund_time: Mapped[datetime | None] = mapped_column(_INSTANT)

    # Written by whatever cancels, and by nothing else.
    cancellations: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=sql("'[]'"))


class OrderItemTable(Base):
    """One line of an order; only `cancelled_quantity` changes."""

    __tablename__ = "order_items"
    __table_args__ = (
        UniqueConstraint("order_id", "variant_id"),
        # For media, which asks before it removes a picture.
        Index("ix_order_items_image_media_id", "image_media_id", postgresql_where=sql("image_media_id IS NOT NULL")),
        CheckConstraint("quantity > 0 AND cancelled_quantity BETWEEN 0 AND quantity", name="quantity"),
        CheckConstraint("unit_price_minor >= 0 AND discount_amount_minor >= 0", name="money"),
        CheckConstraint("tax_rate BETWEEN 0 AND 1000000 AND tax_amount_minor >= 0", name="tax"),
    )

    item_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.order_id"))
    variant_id: Mapped[UUID] = mapped_column(Uuid)
    product_id: Mapped[UUID] = mapped_column(Uuid)
    title: Mapped[str] = mapped_column(Text)
    sku: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, str]] = mapped_column(JSONB)
    image_url: Mapped[str] = mapped_column(Text)
    image_media_id: Mapped[UUID | None] = mapped_column(Uuid)
    quantity: Mapped[int] = mapped_column(Integer)
    cancelled_quantity: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    unit_price_minor: Mapped[int] = mapped_column(BigInteger)
    discount_amount_minor: Mapped[int] = mapped_column(BigInteger)
    tax_rate: Mapped[int] = mapped_column(Integer)
    tax_amount_minor: Mapped[int] = mapped_column(BigInteger)
    requires_shipping: Mapped[bool] = mapped_column(Boolean)
