"""Let stocks say until when a variant is sold, and movements whose they are and who made them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_KINDS = "'OPENED', 'COUNTED', 'ADJUSTED', 'SHIPPED', 'RETURNED'"
_LISTS = {"variant": ["variant_id"], "seller": ["seller_id", "kind"], "kind": ["kind"]}


def upgrade() -> None:
    """What was sold until now was sold while it was there."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column("stocks", sa.Column("policy", sa.Text(), server_default=sa.text("'TRACKED'"), nullable=False))
    op.add_column("stocks", sa.Column("oversold", sa.Integer(), server_default=sa.text("0"), nullable=False))
    _check("stocks", "reserved", "0 <= reserved AND oversold = GREATEST(0, reserved - on_hand)")
    _check("stocks", "on_hand", "on_hand <= 1000000000 AND oversold <= 1000000000")
    op.create_check_constraint(op.f("ck_stocks_policy"), "stocks", "policy IN ('TRACKED', 'UNTRACKED', 'CONTINUE')")

    for column in ("seller_id", "actor_id"):
        op.add_column("stock_movements", sa.Column(column, sa.Uuid(), nullable=True))
    op.add_column("stock_movements", sa.Column("actor", sa.Text(), nullable=True))
    op.execute(
        "UPDATE stock_movements m SET seller_id = s.seller_id,"
        " actor = CASE WHEN m.kind IN ('OPENED', 'COUNTED') THEN 'SELLER' ELSE 'SYSTEM' END"
        " FROM stocks s WHERE s.variant_id = m.variant_id"
    )
    for column in ("seller_id", "actor"):
        op.alter_column("stock_movements", column, nullable=False)
    _check("stock_movements", "kind", f"kind IN ({_KINDS})")
    op.create_check_constraint(
        op.f("ck_stock_movements_actor"), "stock_movements", "actor IN ('SELLER', 'ADMIN', 'SERVICE', 'SYSTEM')"
    )
    op.drop_index("ix_stock_movements_variant_id_movement_id", "stock_movements")
    for name, leading in _LISTS.items():
        op.create_index(f"ix_stock_movements_{name}", "stock_movements", [*leading, "create_time", "movement_id"])


def downgrade() -> None:
    """Everything is counted again: adjustments were counts, and what is owed beyond what is there is not known."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for name in _LISTS:
        op.drop_index(f"ix_stock_movements_{name}", "stock_movements")
    op.create_index("ix_stock_movements_variant_id_movement_id", "stock_movements", ["variant_id", "movement_id"])
    op.drop_constraint(op.f("ck_stock_movements_actor"), "stock_movements")
    op.execute("UPDATE stock_movements SET kind = 'COUNTED' WHERE kind = 'ADJUSTED'")
    _check("stock_movements", "kind", "kind IN ('OPENED', 'COUNTED', 'SHIPPED', 'RETURNED')")
    for column in ("actor", "actor_id", "seller_id"):
        op.drop_column("stock_movements", column)
    # The old rule has no room for promises beyond the stock: as many pieces are said to be there as were promised.
    op.execute(
        "INSERT INTO stock_movements (movement_id, variant_id, kind, delta, on_hand, create_time)"
        " SELECT gen_random_uuid(), variant_id, 'COUNTED', oversold, reserved, update_time FROM stocks"
        " WHERE oversold > 0"
    )
    op.drop_constraint(op.f("ck_stocks_policy"), "stocks")
    op.drop_constraint(op.f("ck_stocks_reserved"), "stocks")
    op.execute("UPDATE stocks SET on_hand = reserved WHERE oversold > 0")
    op.create_check_constraint(op.f("ck_stocks_reserved"), "stocks", "0 <= reserved AND reserved <= on_hand")
    _check("stocks", "on_hand", "on_hand <= 1000000000")
    for column in ("oversold", "policy"):
        op.drop_column("stocks", column)


def _check(table: str, name: str, rule: str) -> None:
    """A new rule in the place of the one of that name."""
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
