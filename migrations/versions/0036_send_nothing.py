"""Let orders hold goods that need no shipping: nobody is told where they go, or when they arrive."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_UNSENT: dict[str, sa.types.TypeEngine[Any]] = {
    "address": postgresql.JSONB(),
    "eta_earliest_time": sa.DateTime(timezone=True),
    "eta_latest_time": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    """All that was ordered until now is sent."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column("order_items", sa.Column("requires_shipping", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.alter_column("order_items", "requires_shipping", server_default=None)
    for column, kind in _UNSENT.items():
        op.alter_column("orders", column, existing_type=kind, nullable=True)
    op.create_check_constraint(
        op.f("ck_orders_sent"), "orders", "num_nulls(address, eta_earliest_time, eta_latest_time) IN (0, 3)"
    )


def downgrade() -> None:
    """What was not sent went nowhere, at once."""
    op.drop_constraint(op.f("ck_orders_sent"), "orders")
    op.execute(
        "UPDATE orders SET address = '{}', eta_earliest_time = create_time, eta_latest_time = create_time"
        " WHERE address IS NULL"
    )
    for column, kind in _UNSENT.items():
        op.alter_column("orders", column, existing_type=kind, nullable=False)
    op.drop_column("order_items", "requires_shipping")
