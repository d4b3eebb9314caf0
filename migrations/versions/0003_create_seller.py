"""Create the tables of the seller slice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "sellers",
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("shop_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("pickup_address", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("contact", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("prep_minutes", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("opening_hours", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("approve_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("state IN ('PENDING', 'ACTIVE', 'SUSPENDED', 'CLOSED')", name=op.f("ck_sellers_state")),
        sa.CheckConstraint(
            "state IN ('PENDING', 'CLOSED') OR approve_time IS NOT NULL", name=op.f("ck_sellers_approved")
        ),
        sa.CheckConstraint("prep_minutes BETWEEN 0 AND 1440", name=op.f("ck_sellers_prep_minutes")),
        sa.PrimaryKeyConstraint("seller_id", name=op.f("pk_sellers")),
        sa.UniqueConstraint("handle", name=op.f("uq_sellers_handle")),
    )
    op.create_index(
        "uq_sellers_account_id", "sellers", ["account_id"], unique=True, postgresql_where=sa.text("state <> 'CLOSED'")
    )


def downgrade() -> None:
    """Drop them again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index("uq_sellers_account_id", table_name="sellers", postgresql_where=sa.text("state <> 'CLOSED'"))
    op.drop_table("sellers")
