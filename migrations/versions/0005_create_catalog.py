"""Create the tables of the catalog slice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "brands",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", name=op.f("pk_brands")),
        sa.UniqueConstraint("name_key", name=op.f("uq_brands_name_key")),
        sa.UniqueConstraint("slug", name=op.f("uq_brands_slug")),
    )
    op.create_table(
        "categories",
        sa.Column("category_id", sa.Uuid(), nullable=False),
        sa.Column("parent_category_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("path[cardinality(path)] = category_id", name=op.f("ck_categories_path")),
        sa.ForeignKeyConstraint(
            ["parent_category_id"], ["categories.category_id"], name=op.f("fk_categories_parent_category_id")
        ),
        sa.PrimaryKeyConstraint("category_id", name=op.f("pk_categories")),
        sa.UniqueConstraint("slug", name=op.f("uq_categories_slug")),
    )
    op.create_index(
        "ix_categories_children",
        "categories",
        ["parent_category_id", "position", "name_key", "category_id"],
        unique=False,
    )
    op.create_index("ix_categories_listing", "categories", ["position", "name_key", "category_id"], unique=False)
    op.create_index(op.f("ix_categories_name_key"), "categories", ["name_key"], unique=False)
    op.create_index("ix_categories_path", "categories", ["path"], unique=False, postgresql_using="gin")
    op.create_table(
        "products",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("title_key", sa.Text(collation="C"), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category_id", sa.Uuid(), nullable=True),
        sa.Column("brand_id", sa.Uuid(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("option_names", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("compare_at_price_minor", sa.BigInteger(), nullable=True),
        sa.Column("rating_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rating_average_milli", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "rating_histogram", postgresql.ARRAY(sa.Integer()), server_default=sa.text("'{0,0,0,0,0}'"), nullable=False
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("publish_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('DRAFT', 'PUBLISHED', 'ARCHIVED')", name=op.f("ck_products_state")),
        sa.CheckConstraint("price_minor >= 0 AND compare_at_price_minor >= 0", name=op.f("ck_products_price")),
        sa.CheckConstraint(
            "rating_count >= 0 AND rating_average_milli BETWEEN 0 AND 5000", name=op.f("ck_products_rating")
        ),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.brand_id"], name=op.f("fk_products_brand_id")),
        sa.ForeignKeyConstraint(["category_id"], ["categories.category_id"], name=op.f("fk_products_category_id")),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_products")),
        sa.UniqueConstraint("seller_id", "handle", name=op.f("uq_products_seller_id_handle")),
        sa.UniqueConstraint("slug", name=op.f("uq_products_slug")),
    )
    op.create_index("ix_products_all_newest", "products", ["state", "product_id"], unique=False)
    op.create_index("ix_products_all_price", "products", ["state", "price_minor", "product_id"], unique=False)
    op.create_index("ix_products_all_rating", "products", ["state", "rating_average_milli", "product_id"], unique=False)
    op.create_index("ix_products_all_title", "products", ["state", "title_key", "product_id"], unique=False)
    op.create_index("ix_products_brand_newest", "products", ["brand_id", "state", "product_id"], unique=False)
    op.create_index(
        "ix_products_brand_price", "products", ["brand_id", "state", "price_minor", "product_id"], unique=False
    )
    op.create_index(
        "ix_products_brand_rating",
        "products",
        ["brand_id", "state", "rating_average_milli", "product_id"],
        unique=False,
    )
    op.create_index(
        "ix_products_brand_title", "products", ["brand_id", "state", "title_key", "product_id"], unique=False
    )
    op.create_index("ix_products_category_newest", "products", ["category_id", "state", "product_id"], unique=False)
    op.create_index(
        "ix_products_category_price", "products", ["category_id", "state", "price_minor", "product_id"], unique=False
    )
    op.create_index(
        "ix_products_category_rating",
        "products",
        ["category_id", "state", "rating_average_milli", "product_id"],
        unique=False,
    )
    op.create_index(
        "ix_products_category_title", "products", ["category_id", "state", "title_key", "product_id"], unique=False
    )
    op.create_index("ix_products_seller_newest", "products", ["seller_id", "product_id"], unique=False)
    op.create_index("ix_products_seller_price", "products", ["seller_id", "price_minor", "product_id"], unique=False)
    op.create_index(
        "ix_products_seller_rating", "products", ["seller_id", "rating_average_milli", "product_id"], unique=False
    )
    op.create_index("ix_products_seller_title", "products", ["seller_id", "title_key", "product_id"], unique=False)
    op.create_table(
        "product_images",
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("media_id", sa.Uuid(), nullable=True),
        sa.Column("source_url", sa.Text(), nullable=False),
        sa.Column("alt_text", sa.Text(), nullable=False),
        sa.Column("variant_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name=op.f("fk_product_images_product_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_product_images")),
    )
    op.create_index("ix_product_images_listing", "product_images", ["product_id", "position"], unique=False)
    op.create_table(
        "variants",
        sa.Column("variant_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("options_key", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("compare_at_price_minor", sa.BigInteger(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=False),
        sa.Column("weight_grams", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("price_minor >= 0 AND compare_at_price_minor >= 0", name=op.f("ck_variants_price")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name=op.f("fk_variants_product_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("variant_id", name=op.f("pk_variants")),
        sa.UniqueConstraint("product_id", "options_key", name=op.f("uq_variants_product_id_options_key")),
    )
    op.create_index("ix_variants_listing", "variants", ["product_id", "position"], unique=False)
    op.create_index(
        "uq_variants_seller_id_sku",
        "variants",
        ["seller_id", "sku"],
        unique=True,
        postgresql_where=sa.text("sku <> ''"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index("uq_variants_seller_id_sku", table_name="variants", postgresql_where=sa.text("sku <> ''"))
    op.drop_index("ix_variants_listing", table_name="variants")
    op.drop_table("variants")
    op.drop_index("ix_product_images_listing", table_name="product_images")
    op.drop_table("product_images")
    op.drop_index("ix_products_seller_title", table_name="products")
    op.drop_index("ix_products_seller_rating", table_name="products")
    op.drop_index("ix_products_seller_price", table_name="products")
    op.drop_index("ix_products_seller_newest", table_name="products")
    op.drop_index("ix_products_category_title", table_name="products")
    op.drop_index("ix_products_category_rating", table_name="products")
    op.drop_index("ix_products_category_price", table_name="products")
    op.drop_index("ix_products_category_newest", table_name="products")
    op.drop_index("ix_products_brand_title", table_name="products")
    op.drop_index("ix_products_brand_rating", table_name="products")
    op.drop_index("ix_products_brand_price", table_name="products")
    op.drop_index("ix_products_brand_newest", table_name="products")
    op.drop_index("ix_products_all_title", table_name="products")
    op.drop_index("ix_products_all_rating", table_name="products")
    op.drop_index("ix_products_all_price", table_name="products")
    op.drop_index("ix_products_all_newest", table_name="products")
    op.drop_table("products")
    op.drop_index("ix_categories_path", table_name="categories", postgresql_using="gin")
    op.drop_index(op.f("ix_categories_name_key"), table_name="categories")
    op.drop_index("ix_categories_listing", table_name="categories")
    op.drop_index("ix_categories_children", table_name="categories")
    op.drop_table("categories")
    op.drop_table("brands")
