"""Give delivery and tracking the contract's names, shifts a version, and lists of deliveries a second order.

When a courier arrived stands at the stop alone: the deliveries' own columns said the same once more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

LATE = "event_type = 'delivery.late'"
# What is still open counts as closed later than everything else; each index is one that a list walks.
CLOSE_KEY = "COALESCE(close_time, 'infinity'::timestamp with time zone)"
OWNERS = ("buyer_id", "owner_user_id", "seller_id", "courier_id")


def upgrade() -> None:
    """The new names, column and indexes."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("ALTER TABLE position_points RENAME COLUMN is_mock TO mocked")
    op.execute("ALTER TABLE delivery_promises RENAME COLUMN promised_time TO due_time")
    _rename_key("promised_time", "due_time")
    op.execute(
        "UPDATE deliveries SET pickup_arrive_time = coalesce(pickup_arrive_time, at_pickup_time),"
        " dropoff_arrive_time = coalesce(dropoff_arrive_time, at_dropoff_time)"
        " WHERE num_nonnulls(at_pickup_time, at_dropoff_time) > 0"
    )
    op.drop_column("deliveries", "at_pickup_time")
    op.drop_column("deliveries", "at_dropoff_time")
    op.add_column("shifts", sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False))
    op.create_index("ix_deliveries_close", "deliveries", [sa.text(CLOSE_KEY), "delivery_id"])
    for owner in OWNERS:
        op.create_index(f"ix_deliveries_{owner}_close", "deliveries", [owner, sa.text(CLOSE_KEY), "delivery_id"])


def downgrade() -> None:
    """As it was."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for owner in OWNERS:
        op.drop_index(f"ix_deliveries_{owner}_close", table_name="deliveries")
    op.drop_index("ix_deliveries_close", table_name="deliveries")
    op.drop_column("shifts", "version")
    op.add_column("deliveries", sa.Column("at_pickup_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("deliveries", sa.Column("at_dropoff_time", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE deliveries SET at_pickup_time = pickup_arrive_time, at_dropoff_time = dropoff_arrive_time")
    _rename_key("due_time", "promised_time")
    op.execute("ALTER TABLE delivery_promises RENAME COLUMN due_time TO promised_time")
    op.execute("ALTER TABLE position_points RENAME COLUMN mocked TO is_mock")


def _rename_key(old: str, new: str) -> None:
    payload = f"""replace(payload::text, '"{old}":', '"{new}":')::jsonb"""
    op.execute(f"UPDATE outbox_events SET payload = {payload} WHERE {LATE}")  # noqa: S608 - constants
