"""Count reset tokens by the address that they were asked for, so that an address which nobody has counts as well.

The tokens that are out are forgotten; no release has written any.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A token may be nobody's."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("DELETE FROM password_resets")
    op.add_column("password_resets", sa.Column("address_hash", sa.LargeBinary(), nullable=False))
    op.alter_column("password_resets", "user_id", existing_type=sa.Uuid(), nullable=True)
    op.create_index(op.f("ix_password_resets_address_hash"), "password_resets", ["address_hash"], unique=False)


def downgrade() -> None:
    """Every token is somebody's again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("DELETE FROM password_resets")
    op.drop_index(op.f("ix_password_resets_address_hash"), table_name="password_resets")
    op.alter_column("password_resets", "user_id", existing_type=sa.Uuid(), nullable=False)
    op.drop_column("password_resets", "address_hash")
