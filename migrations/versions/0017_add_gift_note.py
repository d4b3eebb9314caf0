"""What the buyer of an order writes to whom it is for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no row is rewritten."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column("orders", sa.Column("gift_note", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_column("orders", "gift_note")
