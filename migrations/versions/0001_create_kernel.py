"""Create the tables of the kernel slice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "aggregate_sequences",
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("aggregate_id", name=op.f("pk_aggregate_sequences")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("dead_letter_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id", name=op.f("pk_dead_letters")),
    )
    op.create_table(
        "handled_events",
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("handled_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("handler", "event_id", name=op.f("pk_handled_events")),
    )
    op.create_index(op.f("ix_handled_events_handled_time"), "handled_events", ["handled_time"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("caller_key", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller_key", "method", "request_id", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_expire_time"), "idempotency_keys", ["expire_time"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("run_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_run_time"), "jobs", ["run_time"], unique=False)
    op.create_index(
        "uq_jobs_dedup_key", "jobs", ["dedup_key"], unique=True, postgresql_where=sa.text("dedup_key IS NOT NULL")
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "outbox_events",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("aggregate", sa.Text(), nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_outbox_events")),
        sa.UniqueConstraint("aggregate_id", "seq", name=op.f("uq_outbox_events_aggregate_id_seq")),
    )
    op.create_index(
        "ix_outbox_events_published_time",
        "outbox_events",
        ["published_time"],
        unique=False,
        postgresql_where=sa.text("published_time IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_events_unpublished",
        "outbox_events",
        ["position"],
        unique=False,
        postgresql_where=sa.text("published_time IS NULL"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index(
        "ix_outbox_events_unpublished", table_name="outbox_events", postgresql_where=sa.text("published_time IS NULL")
    )
    op.drop_index(
        "ix_outbox_events_published_time",
        table_name="outbox_events",
        postgresql_where=sa.text("published_time IS NOT NULL"),
    )
    op.drop_table("outbox_events")
    op.drop_table("leases")
    op.drop_index("uq_jobs_dedup_key", table_name="jobs", postgresql_where=sa.text("dedup_key IS NOT NULL"))
    op.drop_index(op.f("ix_jobs_run_time"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(op.f("ix_idempotency_keys_expire_time"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index(op.f("ix_handled_events_handled_time"), table_name="handled_events")
    op.drop_table("handled_events")
    op.drop_table("dead_letters")
    op.drop_table("aggregate_sequences")
