"""Let several reset tokens be out for an account, and ListUsers find what a phone begins with.

The tokens that are out are forgotten; no release has written any.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the index beside the running server, then the table anew."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '60s'")
        # What an attempt that broke off has left behind is no index.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_accounts_phone_prefix")
        op.execute("CREATE INDEX CONCURRENTLY ix_accounts_phone_prefix ON accounts (phone text_pattern_ops)")
        op.execute("RESET lock_timeout")
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_table("password_resets")
    op.create_table(
        "password_resets",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_password_resets_account_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_password_resets")),
    )
    op.create_index(op.f("ix_password_resets_account_id"), "password_resets", ["account_id"], unique=False)
    op.create_index(op.f("ix_password_resets_expire_time"), "password_resets", ["expire_time"], unique=False)


def downgrade() -> None:
    """One token an account again; those that are out are forgotten."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_table("password_resets")
    op.create_table(
        "password_resets",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_password_resets_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_password_resets")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_password_resets_token_hash")),
    )
    op.execute("DROP INDEX IF EXISTS ix_accounts_phone_prefix")
