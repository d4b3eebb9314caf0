"""Let shops be rejected, and find an account's shops and quotes when it ends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_UNIQUE, _TABLE = "uq_sellers_owner_user_id", "sellers"


def upgrade() -> None:
    """A rejected application is over, as a closed shop is: its account may apply again."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    _states("'PENDING', 'REJECTED', 'ACTIVE', 'SUSPENDED', 'CLOSED'", "'PENDING', 'REJECTED', 'CLOSED'")
    _live("state NOT IN ('REJECTED', 'CLOSED')")
    op.create_index("ix_sellers_owner_user_id", _TABLE, ["owner_user_id"])
    op.create_index("ix_quotes_user_id", "quotes", ["user_id"])


def downgrade() -> None:
    """Rejected applications become closed shops, which is the nearest there was."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("UPDATE sellers SET state = 'CLOSED' WHERE state = 'REJECTED'")
    op.drop_index("ix_quotes_user_id", table_name="quotes")
    op.drop_index("ix_sellers_owner_user_id", table_name=_TABLE)
    _live("state <> 'CLOSED'")
    _states("'PENDING', 'ACTIVE', 'SUSPENDED', 'CLOSED'", "'PENDING', 'CLOSED'")


def _states(every: str, never_approved: str) -> None:
    op.drop_constraint(op.f("ck_sellers_state"), _TABLE)
    op.drop_constraint(op.f("ck_sellers_approved"), _TABLE)
    op.create_check_constraint(op.f("ck_sellers_state"), _TABLE, f"state IN ({every})")
    op.create_check_constraint(
        op.f("ck_sellers_approved"), _TABLE, f"state IN ({never_approved}) OR approve_time IS NOT NULL"
    )


def _live(condition: str) -> None:
    op.drop_index(_UNIQUE, table_name=_TABLE)
    op.create_index(_UNIQUE, _TABLE, ["owner_user_id"], unique=True, postgresql_where=sa.text(condition))
