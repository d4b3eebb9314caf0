"""Create the tables of the delivery slice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "couriers",
        sa.Column("courier_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("vehicle", sa.Text(), nullable=False),
        sa.Column("plate_number", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "rating_counts", postgresql.ARRAY(sa.Integer()), server_default=sa.text("'{0,0,0,0,0}'"), nullable=False
        ),
        sa.Column("completed_deliveries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approve_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("state IN ('PENDING', 'ACTIVE', 'SUSPENDED')", name=op.f("ck_couriers_state")),
        sa.CheckConstraint(
            "vehicle IN ('FOOT', 'BICYCLE', 'SCOOTER', 'MOTORCYCLE', 'CAR', 'VAN')", name=op.f("ck_couriers_vehicle")
        ),
        sa.CheckConstraint("cardinality(rating_counts) = 5", name=op.f("ck_couriers_rating_counts_are_five")),
        sa.PrimaryKeyConstraint("courier_id", name=op.f("pk_couriers")),
        sa.UniqueConstraint("account_id", name=op.f("uq_couriers_account_id")),
    )
    op.create_table(
        "courier_latest_positions",
        sa.Column("courier_id", sa.Uuid(), nullable=False),
        sa.Column("sample_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=False),
        sa.Column("longitude", sa.Float(), nullable=False),
        sa.Column("speed_mps", sa.Float(), nullable=True),
        sa.Column("heading_degrees", sa.Float(), nullable=True),
        sa.Column("accuracy_meters", sa.Float(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180",
            name=op.f("ck_courier_latest_positions_on_earth"),
        ),
        sa.ForeignKeyConstraint(
            ["courier_id"], ["couriers.courier_id"], name=op.f("fk_courier_latest_positions_courier_id")
        ),
        sa.PrimaryKeyConstraint("courier_id", name=op.f("pk_courier_latest_positions")),
    )
    op.create_table(
        "shifts",
        sa.Column("shift_id", sa.Uuid(), nullable=False),
        sa.Column("courier_id", sa.Uuid(), nullable=False),
        sa.Column("vehicle", sa.Text(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_deliveries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "vehicle IN ('FOOT', 'BICYCLE', 'SCOOTER', 'MOTORCYCLE', 'CAR', 'VAN')", name=op.f("ck_shifts_vehicle")
        ),
        sa.CheckConstraint("end_time >= start_time", name=op.f("ck_shifts_ends_after_start")),
        sa.ForeignKeyConstraint(["courier_id"], ["couriers.courier_id"], name=op.f("fk_shifts_courier_id")),
        sa.PrimaryKeyConstraint("shift_id", name=op.f("pk_shifts")),
    )
    op.create_index(op.f("ix_shifts_courier_id_start_time"), "shifts", ["courier_id", "start_time"], unique=False)
    op.create_index(
        "uq_shifts_running", "shifts", ["courier_id"], unique=True, postgresql_where=sa.text("end_time IS NULL")
    )
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("order_number", sa.Text(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("seller_account_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_account_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("courier_id", sa.Uuid(), nullable=True),
        sa.Column("shift_id", sa.Uuid(), nullable=True),
        sa.Column("vehicle", sa.Text(), nullable=True),
        sa.Column("dropoff_code", sa.Text(), nullable=False),
        sa.Column("wrong_codes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("code_locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pickup", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("dropoff", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("pickup_arrive_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pickup_depart_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropoff_arrive_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropoff_depart_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("eta_expected_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("eta_earliest_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("eta_latest_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("eta_estimate_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("proof_media_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("offered_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assigned_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at_pickup_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("picked_up_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at_dropoff_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(state = 'CLOSED') = (closed_time IS NOT NULL)", name=op.f("ck_deliveries_closed_has_time")
        ),
        sa.CheckConstraint("(state = 'CLOSED') = (outcome IS NOT NULL)", name=op.f("ck_deliveries_closed_has_outcome")),
        sa.CheckConstraint(
            "courier_id IS NOT NULL OR state IN ('CREATED', 'OFFERING', 'CLOSED')",
            name=op.f("ck_deliveries_bringing_needs_courier"),
        ),
        sa.CheckConstraint(
            "outcome IN ('DELIVERED', 'FAILED', 'RETURNED', 'CANCELLED')", name=op.f("ck_deliveries_outcome")
        ),
        sa.CheckConstraint(
            "picked_up_time IS NOT NULL OR outcome IS DISTINCT FROM 'DELIVERED'",
            name=op.f("ck_deliveries_delivered_was_picked_up"),
        ),
        sa.CheckConstraint(
            "picked_up_time IS NOT NULL OR state NOT IN ('PICKED_UP', 'AT_DROPOFF')",
            name=op.f("ck_deliveries_brought_was_picked_up"),
        ),
        sa.CheckConstraint(
            "state IN ('CREATED', 'OFFERING', 'ASSIGNED', 'AT_PICKUP', 'PICKED_UP', 'AT_DROPOFF', 'CLOSED')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.CheckConstraint("fee_minor >= 0", name=op.f("ck_deliveries_fee_is_not_negative")),
        sa.CheckConstraint(
            "num_nonnulls(eta_expected_time, eta_earliest_time, eta_latest_time, eta_estimate_time) IN (0, 4)",
            name=op.f("ck_deliveries_eta_is_whole"),
        ),
        sa.CheckConstraint("wrong_codes >= 0", name=op.f("ck_deliveries_wrong_codes_are_counted")),
        sa.ForeignKeyConstraint(["courier_id"], ["couriers.courier_id"], name=op.f("fk_deliveries_courier_id")),
        sa.ForeignKeyConstraint(["shift_id"], ["shifts.shift_id"], name=op.f("fk_deliveries_shift_id")),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        op.f("ix_deliveries_buyer_account_id_delivery_id"),
        "deliveries",
        ["buyer_account_id", "delivery_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_deliveries_courier_id_delivery_id"), "deliveries", ["courier_id", "delivery_id"], unique=False
    )
    op.create_index(
        "ix_deliveries_open_courier",
        "deliveries",
        ["courier_id"],
        unique=False,
        postgresql_where=sa.text("state <> 'CLOSED'"),
    )
    op.create_index(op.f("ix_deliveries_order_id"), "deliveries", ["order_id"], unique=False)
    op.create_index(
        op.f("ix_deliveries_seller_account_id_delivery_id"),
        "deliveries",
        ["seller_account_id", "delivery_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_deliveries_seller_id_delivery_id"), "deliveries", ["seller_id", "delivery_id"], unique=False
    )
    op.create_index(
        "uq_deliveries_open_order",
        "deliveries",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'CLOSED'"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index("uq_deliveries_open_order", table_name="deliveries", postgresql_where=sa.text("state <> 'CLOSED'"))
    op.drop_index(op.f("ix_deliveries_seller_id_delivery_id"), table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_seller_account_id_delivery_id"), table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_order_id"), table_name="deliveries")
    op.drop_index("ix_deliveries_open_courier", table_name="deliveries", postgresql_where=sa.text("state <> 'CLOSED'"))
    op.drop_index(op.f("ix_deliveries_courier_id_delivery_id"), table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_buyer_account_id_delivery_id"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("uq_shifts_running", table_name="shifts", postgresql_where=sa.text("end_time IS NULL"))
    op.drop_index(op.f("ix_shifts_courier_id_start_time"), table_name="shifts")
    op.drop_table("shifts")
    op.drop_table("courier_latest_positions")
    op.drop_table("couriers")
