"""Note the positions that are rejected without a row of their own, so that a later hello tells of them again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Each uplink keeps the ranges of such numbers."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    column = sa.Column(
        "passed_over", postgresql.INT8MULTIRANGE(), server_default=sa.text("'{}'::int8multirange"), nullable=False
    )
    op.add_column("position_uplinks", column)


def downgrade() -> None:
    """Such numbers are forgotten."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_column("position_uplinks", "passed_over")
