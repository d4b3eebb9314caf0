"""Call amounts and spans of carts, orders and payments what the contract calls them, and give payments a version."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_RENAMED: Final = (
    ("orders", "discount_minor", "discount_amount_minor"),
    ("orders", "refunded_minor", "refunded_amount_minor"),
    ("orders", "prep_minutes", "prep_duration"),
    ("orders", "usual_prep_minutes", "usual_prep_duration"),
    ("order_items", "discount_minor", "discount_amount_minor"),
    ("payments", "provider", "payment_provider"),
    ("payments", "captured_minor", "captured_amount_minor"),
    ("payments", "refunded_minor", "refunded_amount_minor"),
    ("payment_attempts", "provider", "payment_provider"),
    ("payment_attempts", "is_late", "late"),
    ("refunds", "provider", "payment_provider"),
    ("sandbox_charges", "captured_minor", "captured_amount_minor"),
    ("sandbox_charges", "refunded_minor", "refunded_amount_minor"),
    ("sandbox_refunds", "is_done", "done"),
)
_SPANS: Final = ("prep_duration", "usual_prep_duration")
# What is read again stands in events under the names of the columns; a span is told in seconds there.
_IN_EVENTS: Final = (
    ("after", "refunded_minor", "refunded_amount_minor", 1),
    ("after", "prep_minutes", "prep_duration", 60),
    ("", "prep_minutes", "prep_duration", 60),
)


def upgrade() -> None:
    """Rename the columns; minutes become spans."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for table, old, new in _RENAMED:
        op.alter_column(table, old, new_column_name=new)
    for column in _SPANS:
        op.alter_column("orders", column, type_=sa.Interval(), postgresql_using=f"make_interval(mins => {column})")
    op.add_column("payments", sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False))
    for inside, old, new, times in _IN_EVENTS:
        _rename_number(inside, old, new, f"* {times}")
    # A quote lives for minutes and holds the old names.
    op.execute("DELETE FROM quotes")


def downgrade() -> None:
    """Give the columns their old names; parts of minutes are lost."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("DELETE FROM quotes")
    for inside, old, new, times in _IN_EVENTS:
        _rename_number(inside, new, old, f"/ {times}")
    op.drop_column("payments", "version")
    for column in _SPANS:
        minutes = f"(extract(epoch FROM {column}) / 60)::int"
        op.alter_column("orders", column, type_=sa.Integer(), postgresql_using=minutes)
    for table, old, new in _RENAMED:
        op.alter_column(table, new, new_column_name=old)


def _rename_number(inside: str, old: str, new: str, factor: str) -> None:
    """Rename a number in the events of orders and scale it. inside: the member that has it, empty for the payload."""
    before, after = (f"{{{','.join(filter(None, (inside, name)))}}}" for name in (old, new))
    number = f"to_jsonb(((payload #>> '{before}')::numeric {factor})::bigint)"
    op.execute(
        f"UPDATE outbox_events SET payload = jsonb_set(payload #- '{before}', '{after}', {number})"  # noqa: S608
        f" WHERE aggregate = 'order' AND payload #> '{before}' IS NOT NULL"
    )
