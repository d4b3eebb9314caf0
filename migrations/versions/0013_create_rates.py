"""Create the table of the buckets that rate limits are counted in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "rate_buckets",
        sa.Column("bucket_key", sa.LargeBinary(), nullable=False),
        sa.Column("full_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("bucket_key", name=op.f("pk_rate_buckets")),
        prefixes=["UNLOGGED"],
    )
    op.create_index(op.f("ix_rate_buckets_full_time"), "rate_buckets", ["full_time"], unique=False)


def downgrade() -> None:
    """Drop it again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index(op.f("ix_rate_buckets_full_time"), table_name="rate_buckets")
    op.drop_table("rate_buckets")
