"""Keep every cancellation of an order, until when its seller may accept it, and what became of its goods."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_GOODS = "goods IN ('KEPT_BACK', 'RETURNED', 'LOST')"

# One cancellation an order is known so far: the one that ended it. Parts that were cancelled before it, or without it,
# are told with it, as the marketplace's own where nobody wrote down whose they were.
_KEEP = """
UPDATE orders o SET cancellations = jsonb_build_array(jsonb_build_object(
  'lines', c.lines,
  'reason', COALESCE(o.cancel_reason, 'UNSPECIFIED'),
  'note', COALESCE(o.cancel_note, ''),
  'actor', COALESCE(o.cancel_actor, 'SYSTEM'),
  'amount_minor', CASE
    WHEN o.state = 'EXPIRED' THEN LEAST(c.worth, o.total_minor)
    WHEN o.pay_time IS NULL THEN o.total_minor - o.due_minor
    WHEN o.cancel_reason IS NULL THEN LEAST(c.worth, o.total_minor - o.due_minor + o.refund_reserved_minor)
    ELSE o.total_minor - o.due_minor + o.refund_reserved_minor END,
  'cancel_time', to_jsonb(COALESCE(o.cancel_time, o.reject_time, o.update_time))
))
FROM (
  SELECT order_id, jsonb_agg(jsonb_build_array(item_id, cancelled_quantity, worth) ORDER BY item_id) AS lines,
    sum(worth)::bigint AS worth
  FROM (
    SELECT order_id, item_id, cancelled_quantity,
      unit_price_minor * cancelled_quantity - discount_amount_minor * cancelled_quantity / quantity AS worth
    FROM order_items WHERE cancelled_quantity > 0
  ) i GROUP BY order_id
) c WHERE c.order_id = o.order_id
"""
# The old version knows no reasons of the marketplace's own, and cannot read an order that has one.
_BACK = """
UPDATE orders SET cancel_reason = CASE WHEN cancellations -> -1 ->> 'reason' IN ('NOT_ACCEPTED_IN_TIME', 'REFUNDED')
  THEN 'UNSPECIFIED' ELSE cancellations -> -1 ->> 'reason' END, cancel_note = cancellations -> -1 ->> 'note',
  cancel_actor = cancellations -> -1 ->> 'actor'
WHERE state IN ('CANCELLED', 'REJECTED')
"""
# What people wrote stands in no event any more.
_FORGET = """
UPDATE outbox_events
SET payload = payload #- '{after,cancel_note}' #- '{after,cancel_reason}' #- '{after,cancel_actor}'
WHERE aggregate = 'order' AND payload -> 'after' ? 'cancel_reason'
"""


def upgrade() -> None:
    """Orders that wait for their seller already are given no time to accept them in: they wait as before."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    cancellations = sa.Column("cancellations", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False)
    op.add_column("orders", cancellations)
    op.add_column("orders", sa.Column("accept_expire_time", sa.DateTime(timezone=True)))
    op.add_column("orders", sa.Column("goods", sa.Text()))
    op.create_check_constraint(op.f("ck_orders_goods"), "orders", _GOODS)
    op.execute(_KEEP)
    op.execute(_FORGET)
    for column in ("cancel_reason", "cancel_note", "cancel_actor"):
        op.drop_column("orders", column)
    op.drop_constraint(op.f("ck_stock_movements_kind"), "stock_movements", type_="check")
    kinds = "kind IN ('OPENED', 'COUNTED', 'SHIPPED', 'RETURNED')"
    op.create_check_constraint(op.f("ck_stock_movements_kind"), "stock_movements", kinds)


def downgrade() -> None:
    """Goods that came back were counted, as far as the old version knows."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("UPDATE stock_movements SET kind = 'COUNTED' WHERE kind = 'RETURNED'")
    op.drop_constraint(op.f("ck_stock_movements_kind"), "stock_movements", type_="check")
    op.create_check_constraint(
        op.f("ck_stock_movements_kind"), "stock_movements", "kind IN ('OPENED', 'COUNTED', 'SHIPPED')"
    )
    for column in ("cancel_reason", "cancel_note", "cancel_actor"):
        op.add_column("orders", sa.Column(column, sa.Text()))
    op.execute(_BACK)
    op.drop_constraint(op.f("ck_orders_goods"), "orders", type_="check")
    for column in ("goods", "accept_expire_time", "cancellations"):
        op.drop_column("orders", column)
