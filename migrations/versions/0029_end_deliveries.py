"""Couriers can be rejected and closed, and apply again; deliveries say why they ended otherwise than at the door."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_STATE = "ck_couriers_state"
_STATES = "state IN ('PENDING', 'ACTIVE', 'SUSPENDED', 'REJECTED', 'CLOSED')"
_FORMER_STATES = "state IN ('PENDING', 'ACTIVE', 'SUSPENDED')"
_CHECKS = {
    "ck_deliveries_returned_was_picked_up": "pick_up_time IS NOT NULL OR outcome IS DISTINCT FROM 'RETURNED'",
    "ck_deliveries_failure_reason": (
        "failure_reason IN ('BUYER_ABSENT', 'ADDRESS_WRONG', 'REFUSED', 'DAMAGED', 'LOST', 'UNSAFE', 'SHOP_CLOSED',"
        " 'NO_COURIER', 'OTHER')"
    ),
    "ck_deliveries_failure_actor": "failure_actor IN ('COURIER', 'ADMIN')",
    "ck_deliveries_failure_is_whole": "num_nonnulls(failure_reason, failure_note, failure_actor) IN (0, 3)",
    "ck_deliveries_failed_has_reason": (
        "CASE WHEN outcome IN ('FAILED', 'RETURNED') THEN failure_reason IS NOT NULL"
        " WHEN outcome = 'CANCELLED' THEN true ELSE failure_reason IS NULL END"
    ),
}
# Until now an order named its delivery only once a courier had it.
_NAME_DELIVERIES = """
UPDATE orders o SET delivery_id = d.delivery_id FROM deliveries d
WHERE d.order_id = o.order_id AND o.delivery_id IS NULL
"""
_FAILURE = ("failure_reason", "failure_note", "failure_actor")


def upgrade() -> None:
    """Nothing has failed yet, so no row needs a reason."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute(_NAME_DELIVERIES)
    op.add_column("couriers", sa.Column("state_reason", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.drop_constraint(op.f(_STATE), "couriers", type_="check")
    op.create_check_constraint(op.f(_STATE), "couriers", _STATES)
    op.drop_constraint(op.f("uq_couriers_user_id"), "couriers", type_="unique")
    live = sa.text("state NOT IN ('REJECTED', 'CLOSED')")
    op.create_index("uq_couriers_live_user_id", "couriers", ["user_id"], unique=True, postgresql_where=live)
    op.create_index(op.f("ix_couriers_user_id_courier_id"), "couriers", ["user_id", "courier_id"])
    op.create_index(op.f("ix_couriers_state_courier_id"), "couriers", ["state", "courier_id"])
    for name in _FAILURE:
        op.add_column("deliveries", sa.Column(name, sa.Text(), nullable=True))
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(name), "deliveries", condition)


def downgrade() -> None:
    """Of an account's couriers the last one stays, SUSPENDED where it is over. One of before who has brought something
    keeps this from happening: what several have brought cannot be one courier's.
    """
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for name in _CHECKS:
        op.drop_constraint(op.f(name), "deliveries", type_="check")
    for name in _FAILURE:
        op.drop_column("deliveries", name)
    op.drop_index(op.f("ix_couriers_state_courier_id"), table_name="couriers")
    op.drop_index(op.f("ix_couriers_user_id_courier_id"), table_name="couriers")
    op.drop_index("uq_couriers_live_user_id", table_name="couriers")
    op.execute(
        "DELETE FROM couriers c WHERE EXISTS (SELECT FROM couriers later WHERE later.user_id = c.user_id"
        " AND later.courier_id > c.courier_id)"
    )
    op.create_unique_constraint(op.f("uq_couriers_user_id"), "couriers", ["user_id"])
    op.drop_constraint(op.f(_STATE), "couriers", type_="check")
    op.execute("UPDATE couriers SET state = 'SUSPENDED' WHERE state IN ('REJECTED', 'CLOSED')")
    op.create_check_constraint(op.f(_STATE), "couriers", _FORMER_STATES)
    op.drop_column("couriers", "state_reason")
