"""Create the table of what buyers think of shops."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create it."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "seller_ratings",
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("rating_counts", sa.ARRAY(sa.Integer()), nullable=False),
        sa.CheckConstraint("cardinality(rating_counts) = 5", name=op.f("ck_seller_ratings_rating_counts_are_five")),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.seller_id"], name=op.f("fk_seller_ratings_seller_id")),
        sa.PrimaryKeyConstraint("seller_id", name=op.f("pk_seller_ratings")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("seller_ratings")
