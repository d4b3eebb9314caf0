"""Keep days on which shops are open otherwise, rates of tax, and what of both an order froze; no former price that is
not above the price.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_RATE = "tax_rate BETWEEN 0 AND 1000000"
_PRICED = ("products", "variants")


def upgrade() -> None:
    """Orders that stand were sold at no rate of tax, and in shops that were open."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column(
        "sellers",
        sa.Column(
            "opening_exceptions",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column("categories", sa.Column("tax_rate", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("ck_categories_tax_rate"), "categories", _RATE)
    # A quote says what the order will freeze, and these do not say it: whoever has one asks for another.
    op.execute("DELETE FROM quotes WHERE use_time IS NULL")
    op.add_column("orders", sa.Column("shop_open_time", sa.DateTime(timezone=True), nullable=True))
    _add("orders", "delivery_tax_rate", sa.Integer())
    _add("orders", "delivery_tax_amount_minor", sa.BigInteger())
    op.create_check_constraint(op.f("ck_orders_tax"), "orders", f"delivery_{_RATE} AND delivery_tax_amount_minor >= 0")
    _add("order_items", "tax_rate", sa.Integer())
    _add("order_items", "tax_amount_minor", sa.BigInteger())
    op.create_check_constraint(op.f("ck_order_items_tax"), "order_items", f"{_RATE} AND tax_amount_minor >= 0")
    for table in _PRICED:
        op.execute(
            f"UPDATE {table} SET compare_at_price_minor = NULL, version = version + 1"  # noqa: S608 - constants
            " WHERE compare_at_price_minor <= price_minor"
        )
        _check_price(table, "compare_at_price_minor > price_minor")


def downgrade() -> None:
    """Take them away; former prices that were dropped stay away."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for table in _PRICED:
        _check_price(table, "compare_at_price_minor >= 0")
    for column in ("tax_amount_minor", "tax_rate"):
        op.drop_column("order_items", column)
    for column in ("delivery_tax_amount_minor", "delivery_tax_rate", "shop_open_time"):
        op.drop_column("orders", column)
    op.drop_column("categories", "tax_rate")
    op.drop_column("sellers", "opening_exceptions")


def _add(table: str, name: str, kind: sa.types.TypeEngine[int]) -> None:
    """A column that is 0 in the rows that stand, and said in every new one."""
    op.add_column(table, sa.Column(name, kind, server_default="0", nullable=False))
    op.alter_column(table, name, server_default=None)


def _check_price(table: str, former: str) -> None:
    name = op.f(f"ck_{table}_price")
    op.drop_constraint(name, table)
    op.create_check_constraint(name, table, f"price_minor >= 0 AND {former}")
