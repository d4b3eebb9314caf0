"""Keep when the latest refresh tokens of a session were spent, in place of the one before the current and its time.

A session that was refreshed before remembers nothing of it: a token spent just then counts as reused. A server of the
version before does not run on it; nothing is released yet.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times alone: which token each belongs to follows from the current one."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column(
        "sessions",
        sa.Column("spend_times", sa.ARRAY(sa.DateTime(timezone=True)), server_default=sa.text("'{}'"), nullable=False),
    )
    op.drop_column("sessions", "previous_hash")
    op.drop_column("sessions", "rotate_time")


def downgrade() -> None:
    """One token before the current again; which one it was is forgotten."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column("sessions", sa.Column("rotate_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("previous_hash", sa.LargeBinary(), nullable=True))
    op.drop_column("sessions", "spend_times")
