"""The sandbox provider's own books: another side's tables, never in one transaction with ours."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Text
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

_INSTANT = DateTime(timezone=True)


class SandboxChargeTable(Base):
    """The sandbox's book of charges."""

    __tablename__ = "sandbox_charges"
    __table_args__ = (
        CheckConstraint("0 <= refunded_amount_minor AND refunded_amount_minor <= captured_amount_minor", name="money"),
    )

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    captured_amount_minor: Mapped[int] = mapped_column(BigInteger)
    refunded_amount_minor: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    create_time: Mapped[datetime] = mapped_column(_INSTANT)


class SandboxRefundTable(Base):
    """The sandbox's book of refunds."""

    __tablename__ = "sandbox_refunds"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    charge_key: Mapped[str] = mapped_column(ForeignKey("sandbox_charges.key"))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    done: Mapped[bool] = mapped_column()
    create_time: Mapped[datetime] = mapped_column(_INSTANT)
