"""Call the columns of auth and the audit log as the contract calls the fields; keep the language of an account."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

COLUMNS: Final = (
    ("addresses", "is_default", '"primary"'),
    ("addresses", "address", "postal_address"),
    ("sessions", "last_seen_time", "refresh_time"),
    ("service_accounts", "last_used_time", "use_time"),
    ("audit_entries", "user_id", "actor_id"),
)
INDEXES: Final = (
    ("uq_addresses_default", "uq_addresses_primary"),
    ("ix_audit_entries_user_id_create_time", "ix_audit_entries_actor_id_create_time"),
)


def upgrade() -> None:
    """Rename what is there; the language is new, and nobody has said any."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for table, former, name in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {former} TO {name}")
    for former, name in INDEXES:
        op.execute(f"ALTER INDEX {former} RENAME TO {name}")
    op.add_column("accounts", sa.Column("language_code", sa.Text(), nullable=True))


def downgrade() -> None:
    """Rename it back; the languages are forgotten."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_column("accounts", "language_code")
    for former, name in INDEXES:
        op.execute(f"ALTER INDEX {name} RENAME TO {former}")
    for table, former, name in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {name} TO {former}")
