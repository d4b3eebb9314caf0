"""Create the tables of the tracking slice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "courier_streams",
        sa.Column("courier_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("open_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("courier_id", name=op.f("pk_courier_streams")),
    )
    op.create_table(
        "delivery_promises",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("promised_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("late_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_delivery_promises")),
    )
    op.create_table(
        "position_ledger",
        sa.Column("courier_id", sa.Uuid(), nullable=False),
        sa.Column("uplink_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.SmallInteger(), nullable=True),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_position_ledger_seq_counts_from_one")),
        sa.PrimaryKeyConstraint("courier_id", "uplink_id", "seq", name=op.f("pk_position_ledger")),
    )
    op.create_index(
        "ix_position_ledger_rejected",
        "position_ledger",
        ["courier_id", "uplink_id", "seq"],
        unique=False,
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
    op.create_table(
        "position_points",
        sa.Column("courier_id", sa.Uuid(), nullable=False),
        sa.Column("uplink_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("sample_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("receive_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=False),
        sa.Column("longitude", sa.Float(), nullable=False),
        sa.Column("accuracy_meters", sa.Float(), nullable=True),
        sa.Column("speed_mps", sa.Float(), nullable=True),
        sa.Column("heading_degrees", sa.Float(), nullable=True),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("battery_percent", sa.SmallInteger(), nullable=True),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint(
            "latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name=op.f("ck_position_points_on_earth")
        ),
        postgresql_partition_by="RANGE (sample_time)",
    )
    # The partitions have a schema of their own: they come and go every day, and are nothing that a migration compares.
    op.execute("CREATE SCHEMA position_partitions")
    op.execute("CREATE TABLE position_partitions.position_points_default PARTITION OF position_points DEFAULT")
    op.create_index(
        op.f("ix_position_points_courier_id_sample_time"),
        "position_points",
        ["courier_id", "sample_time"],
        unique=False,
    )
    op.create_table(
        "position_uplinks",
        sa.Column("courier_id", sa.Uuid(), nullable=False),
        sa.Column("uplink_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("courier_id", "uplink_id", name=op.f("pk_position_uplinks")),
    )
    op.create_index(op.f("ix_position_uplinks_last_time"), "position_uplinks", ["last_time"], unique=False)


def downgrade() -> None:
    """Drop them again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index(op.f("ix_position_uplinks_last_time"), table_name="position_uplinks")
    op.drop_table("position_uplinks")
    op.drop_index(op.f("ix_position_points_courier_id_sample_time"), table_name="position_points")
    op.drop_table("position_points")
    op.execute("DROP SCHEMA position_partitions")
    op.drop_index(
        "ix_position_ledger_rejected", table_name="position_ledger", postgresql_where=sa.text("reason IS NOT NULL")
    )
    op.drop_table("position_ledger")
    op.drop_table("delivery_promises")
    op.drop_table("courier_streams")
