"""Create the tables of reviews and of the sums of their ratings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

_SCOPES = {
    "all": ["kind", "state"],
    "product": ["product_id", "state"],
    "seller": ["seller_id", "kind", "state"],
    "courier": ["courier_id", "state"],
}


def upgrade() -> None:
    """Create them."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "reviews",
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("order_item_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=True),
        sa.Column("seller_id", sa.Uuid(), nullable=True),
        sa.Column("courier_id", sa.Uuid(), nullable=True),
        sa.Column("author_user_id", sa.Uuid(), nullable=False),
        sa.Column("rating", sa.SmallInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("media_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("reply_text", sa.Text(), nullable=False),
        sa.Column("reply_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=False),
        sa.Column("report_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("edit_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(product_id IS NOT NULL) = (kind = 'PRODUCT') AND (seller_id IS NULL) = (kind = 'COURIER')"
            " AND (courier_id IS NOT NULL) = (kind = 'COURIER')",
            name=op.f("ck_reviews_subject"),
        ),
        sa.CheckConstraint("(reply_text = '') = (reply_time IS NULL)", name=op.f("ck_reviews_reply")),
        sa.CheckConstraint("kind IN ('PRODUCT', 'SELLER', 'COURIER')", name=op.f("ck_reviews_kind")),
        sa.CheckConstraint("state IN ('PENDING', 'PUBLISHED', 'REJECTED')", name=op.f("ck_reviews_state")),
        sa.CheckConstraint("cardinality(media_ids) <= 5", name=op.f("ck_reviews_media_ids")),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_reviews_rating")),
        sa.CheckConstraint("report_count >= 0", name=op.f("ck_reviews_report_count")),
        sa.PrimaryKeyConstraint("review_id", name=op.f("pk_reviews")),
    )
    for scope, leading in _SCOPES.items():
        part = "" if scope == "all" else f"{scope}_id IS NOT NULL"
        where = sa.text(part) if part else None
        pictured = sa.text(" AND ".join(filter(None, (part, "media_ids <> '{}'"))))
        op.create_index(f"ix_reviews_{scope}_create_time", "reviews", [*leading, "review_id"], postgresql_where=where)
        rated = [*leading, "rating", "review_id"]
        op.create_index(f"ix_reviews_{scope}_rating", "reviews", rated, postgresql_where=where)
        op.create_index(f"ix_reviews_{scope}_pictured", "reviews", rated, postgresql_where=pictured)
    op.create_index("ix_reviews_author_user_id", "reviews", ["author_user_id", "review_id"], unique=False)
    op.create_index("ix_reviews_report_count", "reviews", ["kind", "state", "report_count", "review_id"], unique=False)
    op.create_index(
        "ix_reviews_reported",
        "reviews",
        ["kind", "state", "review_id"],
        unique=False,
        postgresql_where=sa.text("report_count > 0"),
    )
    op.create_index(
        "uq_reviews_order_id",
        "reviews",
        ["order_id", "kind"],
        unique=True,
        postgresql_where=sa.text("kind <> 'PRODUCT'"),
    )
    op.create_index(
        "uq_reviews_order_item_id",
        "reviews",
        ["order_item_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'PRODUCT'"),
    )
    op.create_table(
        "review_revisions",
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rating", sa.SmallInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("image_count", sa.SmallInteger(), nullable=False),
        sa.Column("replace_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["review_id"], ["reviews.review_id"], name=op.f("fk_review_revisions_review_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("review_id", "version", name=op.f("pk_review_revisions")),
    )
    op.create_table(
        "review_reports",
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settle_time", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["review_id"], ["reviews.review_id"], name=op.f("fk_review_reports_review_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("review_id", "user_id", name=op.f("pk_review_reports")),
    )
    op.create_index(op.f("ix_review_reports_user_id"), "review_reports", ["user_id"], unique=False)
    op.create_table(
        "review_rejections",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bought_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "bought_id", name=op.f("pk_review_rejections")),
    )
    op.create_table(
        "rating_summaries",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("counts", sa.ARRAY(sa.Integer()), nullable=False),
        sa.CheckConstraint("kind IN ('PRODUCT', 'SELLER', 'COURIER')", name=op.f("ck_rating_summaries_kind")),
        sa.CheckConstraint("cardinality(counts) = 5 AND 0 <= ALL (counts)", name=op.f("ck_rating_summaries_counts")),
        sa.PrimaryKeyConstraint("kind", "subject_id", name=op.f("pk_rating_summaries")),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("rating_summaries", "review_rejections", "review_reports", "review_revisions", "reviews"):
        op.drop_table(table)
