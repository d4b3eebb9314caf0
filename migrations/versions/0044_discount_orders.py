"""Let orders carry promotions: which codes took what off their lines and their delivery, and who pays it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

_TOTAL = "total_minor = subtotal_minor - discount_amount_minor + delivery_fee_minor"
_NAME = "ck_orders_total"
_DELIVERY = "ck_orders_delivery_discount"


def upgrade() -> None:
    """Nothing that stands has a promotion; the version before writes none and reads none."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column(
        "orders",
        sa.Column("delivery_discount_amount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("orders", sa.Column("promotions", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False))
    op.drop_constraint(op.f(_NAME), "orders")
    op.create_check_constraint(op.f(_NAME), "orders", f"{_TOTAL} - delivery_discount_amount_minor")
    op.create_check_constraint(
        op.f(_DELIVERY), "orders", "delivery_discount_amount_minor BETWEEN 0 AND delivery_fee_minor"
    )
    op.add_column(
        "carts",
        sa.Column("promo_code_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
    )


def downgrade() -> None:
    """Orders that have a delivery discount would break the rule: they keep their total, and their fee loses it."""
    op.drop_column("carts", "promo_code_ids")
    op.drop_constraint(op.f(_DELIVERY), "orders")
    op.drop_constraint(op.f(_NAME), "orders")
    op.execute("UPDATE orders SET delivery_fee_minor = delivery_fee_minor - delivery_discount_amount_minor")
    op.drop_column("orders", "promotions")
    op.drop_column("orders", "delivery_discount_amount_minor")
    op.create_check_constraint(op.f(_NAME), "orders", _TOTAL)
