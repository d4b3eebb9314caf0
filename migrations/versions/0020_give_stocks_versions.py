"""Give stocks a version, let weights be unknown, call columns as the contract does, and index the orders of lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_SCOPES = {
    "all": ["state"],
    "category": ["category_id", "state"],
    "brand": ["brand_id", "state"],
    "seller": ["seller_id"],
}


def upgrade() -> None:
    """Rename, add, index."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.alter_column("variants", "is_active", new_column_name="active")
    op.alter_column("product_images", "source_url", new_column_name="url")
    op.alter_column("variants", "weight_grams", existing_type=sa.Integer(), nullable=True)
    op.execute("UPDATE variants SET weight_grams = NULL WHERE weight_grams = 0")
    op.add_column("stocks", sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False))
    op.alter_column("stocks", "source_version", existing_type=sa.BigInteger(), server_default=None, nullable=True)
    op.execute("UPDATE stocks SET source_version = NULL WHERE source_version = 0")
    for scope, leading in _SCOPES.items():
        op.drop_index(f"ix_products_{scope}_newest", "products")
        op.create_index(f"ix_products_{scope}_create_time", "products", [*leading, "create_time", "product_id"])
    op.drop_index("ix_categories_name_key", "categories")
    op.create_index("ix_categories_name", "categories", ["name_key", "category_id"])
    op.create_index("ix_categories_create_time", "categories", ["create_time", "category_id"])
    op.create_index("ix_brands_create_time", "brands", ["create_time", "brand_id"])


def downgrade() -> None:
    """Back to the old names; unknown weights become 0."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index("ix_brands_create_time", "brands")
    op.drop_index("ix_categories_create_time", "categories")
    op.drop_index("ix_categories_name", "categories")
    op.create_index("ix_categories_name_key", "categories", ["name_key"])
    for scope, leading in _SCOPES.items():
        op.drop_index(f"ix_products_{scope}_create_time", "products")
        op.create_index(f"ix_products_{scope}_newest", "products", [*leading, "product_id"])
    op.execute("UPDATE stocks SET source_version = 0 WHERE source_version IS NULL")
    op.alter_column(
        "stocks", "source_version", existing_type=sa.BigInteger(), server_default=sa.text("0"), nullable=False
    )
    op.drop_column("stocks", "version")
    op.execute("UPDATE variants SET weight_grams = 0 WHERE weight_grams IS NULL")
    op.alter_column("variants", "weight_grams", existing_type=sa.Integer(), nullable=False)
    op.alter_column("product_images", "url", new_column_name="source_url")
    op.alter_column("variants", "active", new_column_name="is_active")
