"""The tables of payments, of attempts to take the money, and of refunds; and their states."""

from __future__ import annotations

from datetime import datetime
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
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base


class PaymentState(StrEnum):
    """Where a payment stands; the values are those of the contract without their prefix."""

    PENDING = "PENDING"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    CAPTURED = "CAPTURED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"

    @property
    def is_open(self) -> bool:
        """Whether it can still be confirmed."""
        return self in OPEN_STATES


OPEN_STATES: Final = frozenset({PaymentState.PENDING, PaymentState.ACTION_REQUIRED, PaymentState.DECLINED})


class AttemptState(StrEnum):
    """Where one attempt to take the money stands. PENDING: the provider's answer is not known to us yet."""

    PENDING = "PENDING"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether the provider will never say anything else."""
        return self in (AttemptState.CAPTURED, AttemptState.DECLINED, AttemptState.CANCELLED)


class RefundState(StrEnum):
    """Where a refund stands. PENDING: written down, and not answered by the provider yet."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


_INSTANT = DateTime(timezone=True)
_OPEN = ", ".join(f"'{state.value}'" for state in sorted(OPEN_STATES))


class PaymentTable(Base):
    """One payment of an order group; at most one a group is open.

    `amount_minor` is what is to be paid, and falls when something of the group is cancelled unpaid; once money was
    taken it is `captured_amount_minor`. Of that `refund_reserved_minor` was given back or is about to be,
    `refunded_amount_minor` was given back.
    """

    __tablename__ = "payments"
    __table_args__ = (
        Index(None, "order_group_id"),
        Index("uq_payments_open", "order_group_id", unique=True, postgresql_where=sql(f"state IN ({_OPEN})")),
        CheckConstraint("amount_minor >= 0", name="amount"),
        CheckConstraint(
            "0 <= refunded_amount_minor AND refunded_amount_minor <= refund_reserved_minor"
            " AND refund_reserved_minor <= captured_amount_minor",
            name="money",
        ),
    )

    payment_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    order_group_id: Mapped[UUID] = mapped_column(Uuid)
    buyer_id: Mapped[UUID] = mapped_column(Uuid)
    payment_provider: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    captured_amount_minor: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    refund_reserved_minor: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    refunded_amount_minor: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    redirect_url: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    decline_code: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    decline_message: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    decline_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
    update_time: Mapped[datetime] = mapped_column(_INSTANT)
    capture_time: Mapped[datetime | None] = mapped_column(_INSTANT)
    expire_time: Mapped[datetime] = mapped_column(_INSTANT)
    version: Mapped[int] = mapped_column(BigInteger, server_default=sql("1"))


class AttemptTable(Base):
    """One call of the provider to take the money, written down before it is made; `key` is the provider's idempotency
    key `order:{group}:attempt:{number}`. A request id of an account belongs to one attempt. `late`: the money was
    taken when the orders were gone already, and goes back whole.
    """

    __tablename__ = "payment_attempts"
    __table_args__ = (
        UniqueConstraint("buyer_id", "request_id"),
        UniqueConstraint("order_group_id", "number"),
        Index(None, "payment_id"),
        Index("ix_payment_attempts_pending", "update_time", postgresql_where=sql("state = 'PENDING'")),
    )

    attempt_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.payment_id"))
    order_group_id: Mapped[UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(Integer)
    key: Mapped[str] = mapped_column(Text, unique=True)
    payment_provider: Mapped[str] = mapped_column(Text)
    buyer_id: Mapped[UUID] = mapped_column(Uuid)
    request_id: Mapped[UUID] = mapped_column(Uuid)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    method: Mapped[str] = mapped_column(Text)
    return_url: Mapped[str] = mapped_column(Text)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    late: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))
    redirect_url: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    decline_code: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    decline_message: Mapped[str] = mapped_column(Text, server_default=sql("''"))
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
    update_time: Mapped[datetime] = mapped_column(_INSTANT)


class RefundTable(Base):
    """Money given back, or about to be; the provider's key is `refund:{refund_id}`.

    `shares` says which orders it comes out of: a list of [order_id, amount_minor], empty for money that no order
    accounts for (taken after the orders were gone).
    """

    __tablename__ = "refunds"
    __table_args__ = (
        Index(None, "payment_id"),
        Index(
            "uq_refunds_request", "asked_by", "request_id", unique=True, postgresql_where=sql("request_id IS NOT NULL")
        ),
        CheckConstraint("amount_minor > 0", name="amount"),
    )

    refund_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.payment_id"))
    order_group_id: Mapped[UUID] = mapped_column(Uuid)
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    payment_provider: Mapped[str] = mapped_column(Text)
    charge_key: Mapped[str] = mapped_column(Text)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    shares: Mapped[list[Any]] = mapped_column(JSONB)
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    asked_by: Mapped[UUID | None] = mapped_column(Uuid)
    request_id: Mapped[UUID | None] = mapped_column(Uuid)
    fingerprint: Mapped[bytes | None] = mapped_column(LargeBinary)
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
    update_time: Mapped[datetime] = mapped_column(_INSTANT)
