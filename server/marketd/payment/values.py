"""Payments, attempts to take their money, and refunds as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from marketd.kernel.values.money import Money
from marketd.payment.model import AttemptState, PaymentState, RefundState
from marketd.payment.ports import Charge, ChargeOutcome, RefundShare


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund; `order_id` is None when it is about the whole group.

    shares: unique order_id, empty for money that no order accounts for. Their sum is the amount otherwise.
    """

    refund_id: UUID
    payment_id: UUID
    order_group_id: UUID
    order_id: UUID | None
    payment_provider: str
    charge_key: str
    amount_minor: int
    currency: str
    shares: tuple[RefundShare, ...]
    reason: str
    state: RefundState
    fingerprint: bytes | None = field(repr=False)
    create_time: datetime
    update_time: datetime

    @property
    def amount(self) -> Money:
        """What is given back."""
        return Money(self.amount_minor, self.currency)

    @property
    def key(self) -> str:
        """The provider's idempotency key."""
        return f"refund:{self.refund_id}"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """What to pay with: the name of the provider whose method it is, and that provider's word for it."""

    payment_provider: str
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment; amounts in minor units of `currency`. `refunds` are there where the whole was read."""

    payment_id: UUID
    order_group_id: UUID
    buyer_id: UUID
    payment_provider: str
    state: PaymentState
    amount_minor: int
    currency: str
    captured_amount_minor: int = 0
    refund_reserved_minor: int = 0
    refunded_amount_minor: int = 0
    redirect_url: str = ""
    decline_code: str = ""
    decline_message: str = ""
    decline_time: datetime | None = None
    create_time: datetime
    update_time: datetime
    capture_time: datetime | None = None
    expire_time: datetime
    version: int = 1
    refunds: tuple[Refund, ...] = ()

    @property
    def left_minor(self) -> int:
        """What was taken and is not given back, nor about to be."""
        return self.captured_amount_minor - self.refund_reserved_minor


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to take the money."""

    attempt_id: UUID
    payment_id: UUID
    order_group_id: UUID
    number: int
    key: str
    payment_provider: str
    fingerprint: bytes = field(repr=False)
    method: str
    return_url: str
    amount_minor: int
    currency: str
    state: AttemptState
    late: bool
    redirect_url: str
    decline_code: str
    decline_message: str
    create_time: datetime
    update_time: datetime

    @property
    def charge(self) -> Charge:
        """What the provider is asked."""
        return Charge(self.key, Money(self.amount_minor, self.currency), self.method, self.return_url)

    @property
    def outcome(self) -> ChargeOutcome:
        """What is known of it here."""
        return ChargeOutcome(self.state, self.redirect_url, self.decline_code, self.decline_message)
