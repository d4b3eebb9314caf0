"""The tables of promo codes, of how often each account uses one, and of which orders use which."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

MAX_CODES: Final = 5
"""The most codes on one cart."""


class PromoKind(StrEnum):
    """What a code takes off (marketplace.promotion.v1.PromoCodeKind), in the order in which codes of a cart count."""

    PERCENT = "PERCENT"
    FIXED = "FIXED"
    FREE_DELIVERY = "FREE_DELIVERY"


class Funding(StrEnum):
    """Who pays for what a code takes off (marketplace.promotion.v1.PromoCodeFunding)."""

    PLATFORM = "PLATFORM"
    SELLER = "SELLER"


class PromoCodeState(StrEnum):
    """Whether a code can be used (marketplace.promotion.v1.PromoCodeState); the time and the uses decide it."""

    SCHEDULED = "SCHEDULED"
    ACTIVE = "ACTIVE"
    EXHAUSTED = "EXHAUSTED"
    EXPIRED = "EXPIRED"
    DISABLED = "DISABLED"


class PromoCodeTable(Base):
    """The rows of promo codes. None is ever deleted: orders name them, and nobody gets the code of another's anew.

    `terms_version` counts changes of what a quote is made of. `usage_ceiling` and `per_user_ceiling` are what the uses
    cannot exceed: the limit, or the uses that there were already when it was lowered below them; NULL without a limit.
    """

    __tablename__ = "promo_codes"
    __table_args__ = (
        CheckConstraint("kind IN ('PERCENT', 'FIXED', 'FREE_DELIVERY')", name="kind"),
        CheckConstraint("(kind = 'PERCENT') = (rate IS NOT NULL)", name="rate_of_percent"),
        CheckConstraint("(kind = 'FIXED') = (amount_minor IS NOT NULL)", name="amount_of_fixed"),
        CheckConstraint("rate BETWEEN 1 AND 1000000", name="rate"),
        CheckConstraint("amount_minor > 0", name="amount_minor"),
        CheckConstraint("min_subtotal_minor > 0", name="min_subtotal_minor"),
        CheckConstraint(
            "max_discount_minor IS NULL OR (max_discount_minor > 0 AND kind <> 'FIXED')", name="max_discount_minor"
        ),
        CheckConstraint("start_time < end_time", name="window"),
        CheckConstraint("usage_limit > 0", name="usage_limit"),
        CheckConstraint("per_user_limit > 0", name="per_user_limit"),
        # The conditional update keeps to the limit; this says so for whatever else may ever write.
        CheckConstraint(
            "0 <= usage_count AND (usage_ceiling IS NULL OR usage_count <= usage_ceiling)", name="usage_count"
        ),
        Index("ix_promo_codes_create_time", "create_time", "promo_code_id"),
        Index("ix_promo_codes_seller_create_time", "seller_id", "create_time", "promo_code_id"),
        Index("ix_promo_codes_seller_code_key", "seller_id", "code_key", "promo_code_id"),
    )

    promo_code_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    code: Mapped[str] = mapped_column(Text)
    code_key: Mapped[str] = mapped_column(Text(collation="C"), unique=True)
    seller_id: Mapped[UUID | None] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    rate: Mapped[int | None] = mapped_column(Integer)
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    scope_seller_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    scope_category_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    scope_product_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    min_subtotal_minor: Mapped[int | None] = mapped_column(BigInteger)
    max_discount_minor: Mapped[int | None] = mapped_column(BigInteger)
    start_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    usage_limit: Mapped[int | None] = mapped_column(Integer)
    per_user_limit: Mapped[int | None] = mapped_column(Integer)
    first_order_only: Mapped[bool] = mapped_column(Boolean)
    stackable: Mapped[bool] = mapped_column(Boolean)
    description: Mapped[str] = mapped_column(Text)
    usage_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    usage_ceiling: Mapped[int | None] = mapped_column(Integer)
    per_user_ceiling: Mapped[int | None] = mapped_column(Integer)
    terms_version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    disable_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))


class PromoUseTable(Base):
    """How often an account uses a code now. The row stays when its uses are given back."""

    __tablename__ = "promo_uses"
    __table_args__ = (CheckConstraint("count >= 0", name="count"),)

    promo_code_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("promo_codes.promo_code_id"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    count: Mapped[int] = mapped_column(Integer)


class PromoRedemptionTable(Base):
    """A use of a code by the orders of one group; it stands while `give_back_time` is NULL."""

    __tablename__ = "promo_redemptions"
    # For `marketd check`, and for whoever looks for the orders of a code.
    __table_args__ = (Index("ix_promo_redemptions_promo_code_id", "promo_code_id", "order_group_id"),)

    order_group_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    promo_code_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("promo_codes.promo_code_id"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Uuid)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    give_back_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
