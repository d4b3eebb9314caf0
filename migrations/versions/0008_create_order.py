"""Create the tables of the order slice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "order_groups",
        sa.Column("order_group_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("quote_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("payment_expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_group_id", name=op.f("pk_order_groups")),
        sa.UniqueConstraint("quote_id", name=op.f("uq_order_groups_quote_id")),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("order_number", sa.Text(), nullable=False),
        sa.Column("order_group_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("seller_account_id", sa.Uuid(), nullable=False),
        sa.Column("shop_name", sa.Text(), nullable=False),
        sa.Column("pickup", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("address", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("subtotal_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("delivery_fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("usual_prep_minutes", sa.Integer(), nullable=False),
        sa.Column("eta_earliest_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("eta_latest_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("due_minor", sa.BigInteger(), nullable=False),
        sa.Column("refund_reserved_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=True),
        sa.Column("courier_id", sa.Uuid(), nullable=True),
        sa.Column("courier_account_id", sa.Uuid(), nullable=True),
        sa.Column("prep_minutes", sa.Integer(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("cancel_note", sa.Text(), nullable=True),
        sa.Column("cancel_actor", sa.Text(), nullable=True),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expected_ready_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ready_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("out_for_delivery_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rejected_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expired_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refunded_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('PENDING_PAYMENT', 'PAID', 'ACCEPTED', 'READY', 'OUT_FOR_DELIVERY', 'DELIVERED',"
            " 'CANCELLED', 'REJECTED', 'EXPIRED', 'REFUNDED')",
            name=op.f("ck_orders_state"),
        ),
        sa.CheckConstraint(
            "0 <= refunded_minor AND refunded_minor <= refund_reserved_minor"
            " AND refund_reserved_minor <= due_minor AND due_minor <= total_minor",
            name=op.f("ck_orders_money"),
        ),
        sa.CheckConstraint(
            "total_minor = subtotal_minor - discount_minor + delivery_fee_minor", name=op.f("ck_orders_total")
        ),
        sa.ForeignKeyConstraint(
            ["order_group_id"], ["order_groups.order_group_id"], name=op.f("fk_orders_order_group_id")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("order_number", name=op.f("uq_orders_order_number")),
    )
    op.create_index(op.f("ix_orders_account_id_order_id"), "orders", ["account_id", "order_id"], unique=False)
    op.create_index(
        op.f("ix_orders_courier_account_id_order_id"),
        "orders",
        ["courier_account_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("courier_account_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_orders_courier_id_order_id"),
        "orders",
        ["courier_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("courier_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_orders_order_group_id"), "orders", ["order_group_id"], unique=False)
    op.create_index(op.f("ix_orders_seller_id_order_id"), "orders", ["seller_id", "order_id"], unique=False)
    op.create_table(
        "order_items",
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("variant_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("image_url", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("cancelled_quantity", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "quantity > 0 AND cancelled_quantity BETWEEN 0 AND quantity", name=op.f("ck_order_items_quantity")
        ),
        sa.CheckConstraint("unit_price_minor >= 0 AND discount_minor >= 0", name=op.f("ck_order_items_money")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_order_items_order_id")),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_order_items")),
        sa.UniqueConstraint("order_id", "variant_id", name=op.f("uq_order_items_order_id_variant_id")),
    )


def downgrade() -> None:
    """Drop them again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_table("order_items")
    op.drop_index(op.f("ix_orders_seller_id_order_id"), table_name="orders")
    op.drop_index(op.f("ix_orders_order_group_id"), table_name="orders")
    op.drop_index(
        op.f("ix_orders_courier_id_order_id"), table_name="orders", postgresql_where=sa.text("courier_id IS NOT NULL")
    )
    op.drop_index(
        op.f("ix_orders_courier_account_id_order_id"),
        table_name="orders",
        postgresql_where=sa.text("courier_account_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_orders_account_id_order_id"), table_name="orders")
    op.drop_table("orders")
    op.drop_table("order_groups")
