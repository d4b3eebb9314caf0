"""Keep how changes of e-mail addresses are taken back; a phone belongs to who verified it; how sessions were opened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_KEY = "pk_verifications"
# A phone that several accounts have stays with the one that verified it, else with the oldest.
_ONE_EACH = """
UPDATE accounts a SET phone = NULL WHERE NOT a.phone_verified AND EXISTS (
  SELECT FROM accounts o WHERE o.phone = a.phone AND o.user_id <> a.user_id
  AND (o.phone_verified OR o.user_id < a.user_id))
"""


def upgrade() -> None:
    """Codes that are out are for what the account has; of open sessions nobody knows of a second factor."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "email_changes",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("former_email", sa.Text(), nullable=False),
        sa.Column("former_verified", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["accounts.user_id"], name=op.f("fk_email_changes_user_id_accounts")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_email_changes")),
    )
    for column in ("user_id", "former_email", "expire_time"):
        op.create_index(f"ix_email_changes_{column}", "email_changes", [column])
    op.drop_constraint("uq_accounts_phone", "accounts", type_="unique")
    op.create_index("uq_accounts_phone", "accounts", ["phone"], unique=True, postgresql_where=sa.text("phone_verified"))
    op.add_column("sessions", sa.Column("second_factor", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("verifications", sa.Column("purpose", sa.Text(), server_default="CURRENT", nullable=False))
    op.alter_column("verifications", "purpose", server_default=None)
    op.create_check_constraint("purpose", "verifications", "purpose IN ('CURRENT', 'CHANGE')")
    op.drop_constraint(_KEY, "verifications", type_="primary")
    op.create_primary_key(_KEY, "verifications", ["user_id", "channel", "purpose"])


def downgrade() -> None:
    """Forget what waits and how to take changes back; a phone that several accounts have stays with one of them."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("DELETE FROM verifications WHERE purpose <> 'CURRENT'")
    op.drop_constraint(_KEY, "verifications", type_="primary")
    op.create_primary_key(_KEY, "verifications", ["user_id", "channel"])
    op.drop_column("verifications", "purpose")
    op.drop_column("sessions", "second_factor")
    op.drop_index("uq_accounts_phone", table_name="accounts")
    op.execute(_ONE_EACH)
    op.create_unique_constraint("uq_accounts_phone", "accounts", ["phone"])
    op.drop_table("email_changes")
