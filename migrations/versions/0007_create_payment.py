"""Create the tables of the payment slice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("order_group_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refund_reserved_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("redirect_url", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("decline_code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("decline_message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("decline_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("captured_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "0 <= refunded_minor AND refunded_minor <= refund_reserved_minor"
            " AND refund_reserved_minor <= captured_minor",
            name=op.f("ck_payments_money"),
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_payments_amount")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_payments")),
    )
    op.create_index(op.f("ix_payments_order_group_id"), "payments", ["order_group_id"], unique=False)
    op.create_index(
        "uq_payments_open",
        "payments",
        ["order_group_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('ACTION_REQUIRED', 'DECLINED', 'PENDING')"),
    )
    op.create_table(
        "sandbox_charges",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "0 <= refunded_minor AND refunded_minor <= captured_minor", name=op.f("ck_sandbox_charges_money")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sandbox_charges")),
    )
    op.create_table(
        "payment_attempts",
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("order_group_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("return_url", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_late", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("redirect_url", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("decline_code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("decline_message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payment_id"], name=op.f("fk_payment_attempts_payment_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_payment_attempts")),
        sa.UniqueConstraint("account_id", "request_id", name=op.f("uq_payment_attempts_account_id_request_id")),
        sa.UniqueConstraint("key", name=op.f("uq_payment_attempts_key")),
        sa.UniqueConstraint("order_group_id", "number", name=op.f("uq_payment_attempts_order_group_id_number")),
    )
    op.create_index(op.f("ix_payment_attempts_payment_id"), "payment_attempts", ["payment_id"], unique=False)
    op.create_index(
        "ix_payment_attempts_pending",
        "payment_attempts",
        ["update_time"],
        unique=False,
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("order_group_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("charge_key", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("shares", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refunds_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payment_id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_payment_id"), "refunds", ["payment_id"], unique=False)
    op.create_index(
        "uq_refunds_request",
        "refunds",
        ["asked_by", "request_id"],
        unique=True,
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    op.create_table(
        "sandbox_refunds",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("charge_key", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["charge_key"], ["sandbox_charges.key"], name=op.f("fk_sandbox_refunds_charge_key")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sandbox_refunds")),
    )


def downgrade() -> None:
    """Drop them again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_table("sandbox_refunds")
    op.drop_index("uq_refunds_request", table_name="refunds", postgresql_where=sa.text("request_id IS NOT NULL"))
    op.drop_index(op.f("ix_refunds_payment_id"), table_name="refunds")
    op.drop_table("refunds")
    op.drop_index(
        "ix_payment_attempts_pending", table_name="payment_attempts", postgresql_where=sa.text("state = 'PENDING'")
    )
    op.drop_index(op.f("ix_payment_attempts_payment_id"), table_name="payment_attempts")
    op.drop_table("payment_attempts")
    op.drop_table("sandbox_charges")
    op.drop_index(
        "uq_payments_open",
        table_name="payments",
        postgresql_where=sa.text("state IN ('ACTION_REQUIRED', 'DECLINED', 'PENDING')"),
    )
    op.drop_index(op.f("ix_payments_order_group_id"), table_name="payments")
    op.drop_table("payments")
