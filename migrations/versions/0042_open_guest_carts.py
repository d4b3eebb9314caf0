"""Let a guest's cart be found by its id, and its quotes be the guest's until somebody signs in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

_GUEST_QUOTES = "ix_quotes_guest_cart_id"
_GUESTS = "ix_carts_guests"


def upgrade() -> None:
    """Nothing has made a guest's cart before, so no token is lost with its hash."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_constraint(op.f("ck_carts_owner"), "carts", type_="check")
    op.drop_column("carts", "guest_token_hash")
    # By a column that does not change: adding an item writes the cart anew, which must touch no index.
    op.create_index(_GUESTS, "carts", ["create_time"], postgresql_where=sa.text("user_id IS NULL"))
    op.alter_column("quotes", "user_id", nullable=True)
    op.add_column("quotes", sa.Column("guest_cart_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_quotes_guest_cart_id"), "quotes", "carts", ["guest_cart_id"], ["cart_id"], ondelete="CASCADE"
    )
    op.create_check_constraint(op.f("ck_quotes_owner"), "quotes", "num_nonnulls(user_id, guest_cart_id) = 1")
    op.create_index(_GUEST_QUOTES, "quotes", ["guest_cart_id"], postgresql_where=sa.text("guest_cart_id IS NOT NULL"))


def downgrade() -> None:
    """As it was; guests' carts go, since their tokens are not known by their hashes."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("DELETE FROM carts WHERE user_id IS NULL")
    op.drop_index(_GUEST_QUOTES, table_name="quotes")
    op.drop_constraint(op.f("ck_quotes_owner"), "quotes", type_="check")
    op.drop_column("quotes", "guest_cart_id")
    op.alter_column("quotes", "user_id", nullable=False)
    op.drop_index(_GUESTS, table_name="carts")
    op.add_column("carts", sa.Column("guest_token_hash", sa.LargeBinary(), nullable=True))
    op.create_unique_constraint(op.f("uq_carts_guest_token_hash"), "carts", ["guest_token_hash"])
    op.create_check_constraint(op.f("ck_carts_owner"), "carts", "num_nonnulls(user_id, guest_token_hash) = 1")
