"""Let products have attributes and former slugs, variants go without a price or shipping, and both be deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_LIVE = sa.text("delete_time IS NULL")
_SCOPES = {
    "all": ["state"],
    "category": ["category_id", "state"],
    "brand": ["brand_id", "state"],
    "seller": ["seller_id"],
}
_ORDERS = {"create_time": "create_time", "price": "price_minor", "title": "title_key", "rating": "rating_average_milli"}


def upgrade() -> None:
    """Nothing is deleted yet, and all that there is has to be sent."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column(
        "products", sa.Column("attributes", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("variants", sa.Column("requires_shipping", sa.Boolean(), server_default="true", nullable=False))
    op.add_column("variants", sa.Column("source_version", sa.BigInteger(), nullable=True))
    for table in ("products", "variants"):
        op.add_column(table, sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True))
        op.alter_column(table, "price_minor", existing_type=sa.BigInteger(), nullable=True)
    op.add_column(
        "products",
        sa.Column(
            "price_key", sa.BigInteger(), sa.Computed("COALESCE(price_minor, -1)", persisted=True), nullable=False
        ),
    )
    _check("products", "published", "state <> 'PUBLISHED' OR price_minor IS NOT NULL")
    _check("products", "deleted", "delete_time IS NULL OR state = 'ARCHIVED'")
    _check("variants", "deleted", "delete_time IS NULL OR NOT active")
    op.drop_constraint(op.f("uq_products_slug"), "products", type_="unique")
    op.drop_constraint(op.f("uq_products_seller_id_handle"), "products", type_="unique")
    op.drop_constraint(op.f("uq_variants_product_id_options_key"), "variants", type_="unique")
    op.drop_index("uq_variants_seller_id_sku_key", table_name="variants")
    _unique("uq_products_slug", "products", ["slug"], _LIVE)
    _unique("uq_products_seller_id_handle", "products", ["seller_id", "handle"], _LIVE)
    _unique("uq_variants_product_id_options_key", "variants", ["product_id", "options_key"], _LIVE)
    _unique(
        "uq_variants_seller_id_sku_key",
        "variants",
        ["seller_id", "sku_key"],
        sa.text("sku_key <> '' AND delete_time IS NULL"),
    )
    _list(_ORDERS | {"price": "price_key"}, {"all": _LIVE, "seller": _LIVE})
    op.create_table(
        "product_slugs",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.product_id"],
            name=op.f("fk_product_slugs_product_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_product_slugs")),
    )
    op.create_index(op.f("ix_product_slugs_product_id"), "product_slugs", ["product_id"])


def downgrade() -> None:
    """What is deleted goes for good, with what the version before has no place for: variants without a price."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_table("product_slugs")
    op.execute("DELETE FROM products WHERE delete_time IS NOT NULL OR price_minor IS NULL")
    op.execute("DELETE FROM variants WHERE delete_time IS NOT NULL OR price_minor IS NULL")
    _list(_ORDERS, {})
    for name, table in (
        ("uq_products_slug", "products"),
        ("uq_products_seller_id_handle", "products"),
        ("uq_variants_product_id_options_key", "variants"),
        ("uq_variants_seller_id_sku_key", "variants"),
    ):
        op.drop_index(name, table_name=table)
    op.create_unique_constraint(op.f("uq_products_slug"), "products", ["slug"])
    op.create_unique_constraint(op.f("uq_products_seller_id_handle"), "products", ["seller_id", "handle"])
    op.create_unique_constraint(op.f("uq_variants_product_id_options_key"), "variants", ["product_id", "options_key"])
    _unique("uq_variants_seller_id_sku_key", "variants", ["seller_id", "sku_key"], sa.text("sku_key <> ''"))
    for name, table in (("published", "products"), ("deleted", "products"), ("deleted", "variants")):
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    for column in ("price_key", "attributes", "delete_time"):
        op.drop_column("products", column)
    for column in ("requires_shipping", "source_version", "delete_time"):
        op.drop_column("variants", column)
    for table in ("products", "variants"):
        op.alter_column(table, "price_minor", existing_type=sa.BigInteger(), nullable=False)


def _check(table: str, name: str, condition: str) -> None:
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def _unique(name: str, table: str, columns: list[str], condition: sa.TextClause) -> None:
    op.create_index(name, table, columns, unique=True, postgresql_where=condition)


def _list(orders: dict[str, str], conditions: dict[str, sa.TextClause]) -> None:
    """Make the indexes of lists anew, by these columns, in these scopes only of the rows that meet the condition."""
    for scope, leading in _SCOPES.items():
        for order, column in orders.items():
            name = f"ix_products_{scope}_{order}"
            op.drop_index(name, table_name="products")
            columns = [*leading, column, "product_id"]
            op.create_index(name, "products", columns, postgresql_where=conditions.get(scope))
