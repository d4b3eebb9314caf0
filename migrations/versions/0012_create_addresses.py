"""Create the address books, the indexes that ListUsers and ListAuditEntries walk, and drop what no entry needs.

`audit_entries.action` said what `method` says; no release has written it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_account_roles_role_account_id": "account_roles (role, account_id)",
    "ix_accounts_email_prefix": "accounts (email text_pattern_ops)",
    "ix_accounts_full_name_prefix": "accounts (lower(full_name) text_pattern_ops)",
    "ix_accounts_state_account_id": "accounts (state, account_id)",
    "ix_accounts_username_prefix": "accounts (lower(username) text_pattern_ops)",
    "ix_audit_entries_method_create_time": "audit_entries (method, create_time)",
}


def upgrade() -> None:
    """Build the indexes beside the running server, then change the tables."""
    with op.get_context().autocommit_block():
        # They wait for every transaction that is open, which takes as long as it takes and stalls nobody.
        op.execute("SET lock_timeout = '60s'")
        for name, columns in INDEXES.items():
            # What an attempt that broke off has left behind is no index.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")
        op.execute("RESET lock_timeout")
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "addresses",
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("address", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_addresses_account_id")),
        sa.PrimaryKeyConstraint("address_id", name=op.f("pk_addresses")),
    )
    op.create_index(op.f("ix_addresses_account_id_address_id"), "addresses", ["account_id", "address_id"], unique=False)
    op.create_index(
        "uq_addresses_default", "addresses", ["account_id"], unique=True, postgresql_where=sa.text("is_default")
    )
    op.drop_column("audit_entries", "action")


def downgrade() -> None:
    """Take it back; entries written since have no action, as the column then says."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column("audit_entries", sa.Column("action", sa.Text(), server_default="", nullable=False))
    op.alter_column("audit_entries", "action", server_default=None)
    op.drop_index("uq_addresses_default", table_name="addresses", postgresql_where=sa.text("is_default"))
    op.drop_index(op.f("ix_addresses_account_id_address_id"), table_name="addresses")
    op.drop_table("addresses")
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
