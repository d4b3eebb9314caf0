"""Keep the values before and after of what an audited call changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Entries of before say nothing of values."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    column = sa.Column("changes", postgresql.JSONB(), server_default="[]", nullable=False)
    op.add_column("audit_entries", column)


def downgrade() -> None:
    """The values are lost."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_column("audit_entries", "changes")
