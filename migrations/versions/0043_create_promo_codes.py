"""Create the tables of promo codes, their uses and their redemptions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

_CHECKS = {
    "kind": "kind IN ('PERCENT', 'FIXED', 'FREE_DELIVERY')",
    "rate_of_percent": "(kind = 'PERCENT') = (rate IS NOT NULL)",
    "amount_of_fixed": "(kind = 'FIXED') = (amount_minor IS NOT NULL)",
    "rate": "rate BETWEEN 1 AND 1000000",
    "amount_minor": "amount_minor > 0",
    "min_subtotal_minor": "min_subtotal_minor > 0",
    "max_discount_minor": "max_discount_minor IS NULL OR (max_discount_minor > 0 AND kind <> 'FIXED')",
    "window": "start_time < end_time",
    "usage_limit": "usage_limit > 0",
    "per_user_limit": "per_user_limit > 0",
    "usage_count": "0 <= usage_count AND (usage_ceiling IS NULL OR usage_count <= usage_ceiling)",
}


def upgrade() -> None:
    """Create them."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "promo_codes",
        sa.Column("promo_code_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("code_key", sa.Text(collation="C"), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("scope_seller_ids", ARRAY(sa.Uuid()), nullable=False),
        sa.Column("scope_category_ids", ARRAY(sa.Uuid()), nullable=False),
        sa.Column("scope_product_ids", ARRAY(sa.Uuid()), nullable=False),
        sa.Column("min_subtotal_minor", sa.BigInteger(), nullable=True),
        sa.Column("max_discount_minor", sa.BigInteger(), nullable=True),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("usage_limit", sa.Integer(), nullable=True),
        sa.Column("per_user_limit", sa.Integer(), nullable=True),
        sa.Column("first_order_only", sa.Boolean(), nullable=False),
        sa.Column("stackable", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("usage_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("usage_ceiling", sa.Integer(), nullable=True),
        sa.Column("per_user_ceiling", sa.Integer(), nullable=True),
        sa.Column("terms_version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disable_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("promo_code_id", name=op.f("pk_promo_codes")),
        sa.UniqueConstraint("code_key", name=op.f("uq_promo_codes_code_key")),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_promo_codes_{name}")) for name, rule in _CHECKS.items()),
    )
    op.create_index("ix_promo_codes_create_time", "promo_codes", ["create_time", "promo_code_id"])
    op.create_index("ix_promo_codes_seller_create_time", "promo_codes", ["seller_id", "create_time", "promo_code_id"])
    op.create_index("ix_promo_codes_seller_code_key", "promo_codes", ["seller_id", "code_key", "promo_code_id"])
    op.create_table(
        "promo_uses",
        sa.Column("promo_code_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.CheckConstraint("count >= 0", name=op.f("ck_promo_uses_count")),
        sa.ForeignKeyConstraint(
            ["promo_code_id"], ["promo_codes.promo_code_id"], name=op.f("fk_promo_uses_promo_code_id_promo_codes")
        ),
        sa.PrimaryKeyConstraint("promo_code_id", "user_id", name=op.f("pk_promo_uses")),
    )
    op.create_table(
        "promo_redemptions",
        sa.Column("order_group_id", sa.Uuid(), nullable=False),
        sa.Column("promo_code_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("give_back_time", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["promo_code_id"],
            ["promo_codes.promo_code_id"],
            name=op.f("fk_promo_redemptions_promo_code_id_promo_codes"),
        ),
        sa.PrimaryKeyConstraint("order_group_id", "promo_code_id", name=op.f("pk_promo_redemptions")),
    )
    op.create_index("ix_promo_redemptions_promo_code_id", "promo_redemptions", ["promo_code_id", "order_group_id"])


def downgrade() -> None:
    """Drop them; orders keep what codes took off them."""
    op.drop_table("promo_redemptions")
    op.drop_table("promo_uses")
    op.drop_table("promo_codes")
