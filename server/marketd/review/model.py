"""The tables of reviews. No SQL statements and no protobuf here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, DateTime, ForeignKey, Index, Integer, SmallInteger, Text, Uuid
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

MAX_REVISIONS: Final = 20
"""So many former versions of a review are kept."""


class ReviewKind(StrEnum):
    """What a review is about (marketplace.review.v1.ReviewKind)."""

    PRODUCT = "PRODUCT"
    SELLER = "SELLER"
    COURIER = "COURIER"


class ReviewState(StrEnum):
    """Whether a review is to be seen (marketplace.review.v1.ReviewState); only PUBLISHED ones count."""

    PENDING = "PENDING"
    PUBLISHED = "PUBLISHED"
    REJECTED = "REJECTED"


class ReportReason(StrEnum):
    """What somebody has against a review (marketplace.review.v1.ReviewReportReason)."""

    SPAM = "SPAM"
    OFFENSIVE = "OFFENSIVE"
    OFF_TOPIC = "OFF_TOPIC"
    UNTRUE = "UNTRUE"
    PERSONAL_DATA = "PERSONAL_DATA"
    OTHER = "OTHER"


_KINDS: Final = f"kind IN ({', '.join(repr(kind.value) for kind in ReviewKind)})"
_PICTURED: Final = sql("media_ids <> '{}'")


def _listings() -> tuple[Index, ...]:
    """Each way to narrow a list has an index for each order. Ids grow with time, so they are the order of creation."""
    scopes = {
        "product": (("product_id", "state"), sql("product_id IS NOT NULL"), "product_id IS NOT NULL AND "),
        "seller": (("seller_id", "kind", "state"), sql("seller_id IS NOT NULL"), "seller_id IS NOT NULL AND "),
        "courier": (("courier_id", "state"), sql("courier_id IS NOT NULL"), "courier_id IS NOT NULL AND "),
        "all": (("kind", "state"), None, ""),
    }
    found: list[Index] = []
    for scope, (leading, part, also) in scopes.items():
        name = f"ix_reviews_{scope}"
        found += [
            Index(f"{name}_create_time", *leading, "review_id", postgresql_where=part),
            Index(f"{name}_rating", *leading, "rating", "review_id", postgresql_where=part),
            Index(
                f"{name}_pictured",
                *leading,
                "rating",
                "review_id",
                postgresql_where=sql(f"{also}media_ids <> '{{}}'") if also else _PICTURED,
            ),
        ]
    return tuple(found)


class ReviewTable(Base):
    """A review. `seller_id` is of the shop that may answer it; a courier's has none.

    report_count: reports that no admin has settled. Of a deleted account the text stays and the pictures go.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint(_KINDS, name="kind"),
        CheckConstraint(
            "(product_id IS NOT NULL) = (kind = 'PRODUCT') AND (seller_id IS NULL) = (kind = 'COURIER')"
            " AND (courier_id IS NOT NULL) = (kind = 'COURIER')",
            name="subject",
        ),
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
        CheckConstraint("state IN ('PENDING', 'PUBLISHED', 'REJECTED')", name="state"),
        CheckConstraint("cardinality(media_ids) <= 5", name="media_ids"),
        CheckConstraint("(reply_text = '') = (reply_time IS NULL)", name="reply"),
        CheckConstraint("report_count >= 0", name="report_count"),
        # A product once a line; the shop and the courier once an order.
        Index("uq_reviews_order_item_id", "order_item_id", unique=True, postgresql_where=sql("kind = 'PRODUCT'")),
        Index("uq_reviews_order_id", "order_id", "kind", unique=True, postgresql_where=sql("kind <> 'PRODUCT'")),
        *_listings(),
        Index("ix_reviews_author_user_id", "author_user_id", "review_id"),
        # The queue of who sees to them.
        Index("ix_reviews_report_count", "kind", "state", "report_count", "review_id"),
        Index("ix_reviews_reported", "kind", "state", "review_id", postgresql_where=sql("report_count > 0")),
    )

    review_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    order_item_id: Mapped[UUID] = mapped_column(Uuid)
    order_id: Mapped[UUID] = mapped_column(Uuid)
    product_id: Mapped[UUID | None] = mapped_column(Uuid)
    seller_id: Mapped[UUID | None] = mapped_column(Uuid)
    courier_id: Mapped[UUID | None] = mapped_column(Uuid)
    author_user_id: Mapped[UUID] = mapped_column(Uuid)
    rating: Mapped[int] = mapped_column(SmallInteger)
    text: Mapped[str] = mapped_column(Text)
    media_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    reply_text: Mapped[str] = mapped_column(Text)
    reply_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    state: Mapped[str] = mapped_column(Text)
    state_reason: Mapped[str] = mapped_column(Text)
    report_count: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    edit_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(Integer)


class ReviewRevisionTable(Base):
    """What a review said before it was changed; `version` is the review's of that time."""

    __tablename__ = "review_revisions"

    review_id: Mapped[UUID] = mapped_column(ForeignKey("reviews.review_id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    rating: Mapped[int] = mapped_column(SmallInteger)
    text: Mapped[str] = mapped_column(Text)
    image_count: Mapped[int] = mapped_column(SmallInteger)
    replace_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ReviewReportTable(Base):
    """What an account has against a review, once; settled when an admin has judged the review since."""

    __tablename__ = "review_reports"
    __table_args__ = (Index(None, "user_id"),)

    review_id: Mapped[UUID] = mapped_column(ForeignKey("reviews.review_id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settle_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ReviewRejectionTable(Base):
    """Of what an admin has rejected a review last: a line or, for shops and couriers, an order. Who deletes a rejected
    review and writes another one waits for an admin all the same.
    """

    __tablename__ = "review_rejections"

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    bought_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class RatingSummaryTable(Base):
    """How many published reviews of something gave 1, 2, 3, 4 and 5 stars, in this order."""

    __tablename__ = "rating_summaries"
    __table_args__ = (
        CheckConstraint(_KINDS, name="kind"),
        CheckConstraint("cardinality(counts) = 5 AND 0 <= ALL (counts)", name="counts"),
    )

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    counts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
