"""The tables of sellers, their states, and which state may follow which. No SQL statements and no protobuf here."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Interval,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base
from marketd.kernel.values.transitions import Transitions


class SellerState(StrEnum):
    """Whether a seller may sell (marketplace.seller.v1.SellerState); only ACTIVE sells.

    REJECTED and CLOSED are over for the account: it may apply with another shop.
    """

    PENDING = "PENDING"
    REJECTED = "REJECTED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"

    @property
    def is_over(self) -> bool:
        """Whether the account may apply with another shop."""
        return self in _OVER


_OVER: Final = frozenset({SellerState.REJECTED, SellerState.CLOSED})
SELLER_STEPS = Transitions(
    "seller",
    {
        SellerState.PENDING: (SellerState.ACTIVE, SellerState.REJECTED, SellerState.CLOSED),
        SellerState.REJECTED: (),
        SellerState.ACTIVE: (SellerState.SUSPENDED, SellerState.CLOSED),
        SellerState.SUSPENDED: (SellerState.ACTIVE, SellerState.CLOSED),
        SellerState.CLOSED: (SellerState.ACTIVE,),
    },
)


LIVE: Final = f"state NOT IN ({', '.join(repr(state.value) for state in SellerState if state.is_over)})"
"""SQL that holds for the one seller of an account that is not over."""


class SellerTable(Base):
    """The rows of sellers."""

    __tablename__ = "sellers"
    __table_args__ = (
        CheckConstraint("state IN ('PENDING', 'REJECTED', 'ACTIVE', 'SUSPENDED', 'CLOSED')", name="state"),
        CheckConstraint("state IN ('PENDING', 'REJECTED', 'CLOSED') OR approve_time IS NOT NULL", name="approved"),
        CheckConstraint("prep_duration BETWEEN interval '0' AND interval '24 hours'", name="prep_duration"),
        # An account has at most one seller that is not over.
        Index("uq_sellers_owner_user_id", "owner_user_id", unique=True, postgresql_where=text(LIVE)),
        Index("ix_sellers_owner_user_id", "owner_user_id"),
        # For ListSellers: each state in each order.
        Index("ix_sellers_shop_name_key", "state", "shop_name_key", "seller_id"),
        Index("ix_sellers_create_time", "state", "create_time", "seller_id"),
    )

    seller_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner_user_id: Mapped[UUID] = mapped_column(Uuid)
    handle: Mapped[str] = mapped_column(Text, unique=True)
    shop_name: Mapped[str] = mapped_column(Text)
    shop_name_key: Mapped[str] = mapped_column(Text(collation="C"))
    description: Mapped[str] = mapped_column(Text)
    logo_media_id: Mapped[UUID | None] = mapped_column(Uuid)
    logo_alt_text: Mapped[str] = mapped_column(Text, server_default=text("''"))
    state: Mapped[str] = mapped_column(Text)
    state_reason: Mapped[str] = mapped_column(Text, server_default=text("''"))
    pickup_address: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    contact: Mapped[dict[str, object]] = mapped_column(JSONB)
    prep_duration: Mapped[timedelta] = mapped_column(Interval)
    time_zone: Mapped[str] = mapped_column(Text)
    opening_hours: Mapped[list[object]] = mapped_column(JSONB)
    opening_exceptions: Mapped[list[object]] = mapped_column(JSONB, server_default=text("'[]'"))
    approve_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))


class SellerRatingTable(Base):
    """What buyers think of a shop: how many ratings of 1 to 5 stars there are, in this order. Review writes it down.

    It is no column of the shop, whose row every order of it holds.
    """

    __tablename__ = "seller_ratings"
    __table_args__ = (CheckConstraint("cardinality(rating_counts) = 5", name="rating_counts_are_five"),)

    seller_id: Mapped[UUID] = mapped_column(ForeignKey("sellers.seller_id"), primary_key=True)
    rating_counts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
