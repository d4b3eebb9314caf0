"""Keep the username that an account had before for a while, so that nobody who had a token of it takes it away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody has one yet."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "former_usernames",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["accounts.user_id"], name=op.f("fk_former_usernames_user_id_accounts")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_former_usernames")),
    )
    for column in ("username", "expire_time"):
        op.create_index(f"ix_former_usernames_{column}", "former_usernames", [column])


def downgrade() -> None:
    """They are free."""
    op.drop_table("former_usernames")
