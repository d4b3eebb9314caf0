"""Create the table of the steps of orders, with those that are known of the orders that there are.

What the outbox still has is taken from there. Of orders from before that, the steps that the order itself remembers are
told: its states and what was cancelled, but not who was to bring it, nor money that was given back in parts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

_FROM_OUTBOX = """
INSERT INTO order_events
  (order_id, number, transaction_id, buyer_id, seller_id, occur_time, kind, actor, previous_state, state, detail)
SELECT o.order_id, e.seq, 0, o.buyer_id, o.seller_id, e.occurred_time, k.kind,
  CASE
    WHEN k.kind IN ('PLACED', 'PAID') THEN 'BUYER'
    WHEN k.kind IN ('ACCEPTED', 'READY') THEN 'SELLER'
    WHEN k.cancellation IS NOT NULL THEN o.cancellations -> k.cancellation ->> 'actor'
    WHEN k.kind = 'OUT_FOR_DELIVERY' THEN 'COURIER'
    WHEN k.kind = 'DELIVERED' THEN CASE WHEN o.out_for_delivery_time IS NULL THEN 'SELLER' ELSE 'COURIER' END
    ELSE 'SYSTEM'
  END,
  e.payload ->> 'previous_state', e.payload ->> 'state',
  jsonb_strip_nulls(jsonb_build_object(
    'payment_id', e.payload -> 'payment_id',
    'prep_duration', e.payload -> 'prep_duration',
    'expected_ready_time', CASE WHEN k.kind = 'ACCEPTED' THEN e.payload -> 'expected_ready_time' END,
    'delivery_id', e.payload -> 'delivery_id',
    'courier_id', e.payload -> 'courier_id',
    'amount_minor', e.payload -> 'amount_minor',
    'cancellation', k.cancellation))
FROM outbox_events e
JOIN orders o ON o.order_id = e.aggregate_id
CROSS JOIN LATERAL (SELECT
  CASE e.event_type WHEN 'order.delivery_made' THEN 'DELIVERY_CREATED' ELSE upper(substr(e.event_type, 7)) END AS kind,
  CASE WHEN e.event_type IN ('order.lines_cancelled', 'order.cancelled', 'order.rejected')
    -- What was led back to a version that kept fewer, and forth again, has fewer than its events say.
    AND (e.payload -> 'after' ->> 'cancellations')::int <= jsonb_array_length(o.cancellations)
    THEN (e.payload -> 'after' ->> 'cancellations')::int - 1 END AS cancellation) k
WHERE e.aggregate = 'order'
"""
_FROM_ORDERS = """
INSERT INTO order_events
  (order_id, number, transaction_id, buyer_id, seller_id, occur_time, kind, actor, previous_state, state, detail)
SELECT order_id, number, 0, buyer_id, seller_id, occur_time, kind, actor,
  coalesce(states[cardinality(states)], 'PENDING_PAYMENT'),
  coalesce(state, states[cardinality(states)], 'PENDING_PAYMENT'),
  detail
FROM (
SELECT o.order_id, o.buyer_id, o.seller_id, s.occur_time, s.kind, s.actor, s.state, s.detail,
  row_number() OVER steps AS number,
  array_remove(array_agg(s.state) OVER (steps ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), NULL) AS states
FROM orders o
JOIN order_groups g USING (order_group_id)
CROSS JOIN LATERAL (
  SELECT * FROM (VALUES
    (1, o.create_time, 'PLACED', 'BUYER', 'PENDING_PAYMENT', '{}'::jsonb),
    (2, o.pay_time, 'PAID', 'BUYER', 'PAID', jsonb_build_object('payment_id', g.payment_id)),
    (3, o.accept_time, 'ACCEPTED', 'SELLER', 'ACCEPTED', jsonb_build_object(
      'prep_duration', extract(epoch FROM o.prep_duration), 'expected_ready_time', o.expected_ready_time)),
    (4, CASE WHEN o.deliver_time IS NULL OR o.out_for_delivery_time IS NOT NULL THEN o.ready_time END,
      'READY', 'SELLER', 'READY', '{}'),
    (5, o.out_for_delivery_time, 'OUT_FOR_DELIVERY', 'COURIER', 'OUT_FOR_DELIVERY', '{}'),
    (6, o.deliver_time, 'DELIVERED', CASE WHEN o.out_for_delivery_time IS NULL THEN 'SELLER' ELSE 'COURIER' END,
      'DELIVERED', '{}'),
    (7, o.cancel_time, 'CANCELLED', coalesce(o.cancellations -> -1 ->> 'actor', 'SYSTEM'), 'CANCELLED',
      jsonb_build_object('cancellation', jsonb_array_length(o.cancellations) - 1)),
    (7, o.reject_time, 'REJECTED', 'SELLER', 'REJECTED',
      jsonb_build_object('cancellation', jsonb_array_length(o.cancellations) - 1)),
    (7, o.expire_time, 'EXPIRED', 'SYSTEM', 'EXPIRED', '{}'),
    (8, o.refund_time, 'REFUNDED', 'SYSTEM', 'REFUNDED', '{}')
  ) AS states (place, occur_time, kind, actor, state, detail)
  WHERE occur_time IS NOT NULL
  UNION ALL
  SELECT 6, (c ->> 'cancel_time')::timestamptz, 'LINES_CANCELLED', c ->> 'actor', NULL,
    jsonb_build_object('cancellation', n - 1)
  FROM jsonb_array_elements(o.cancellations) WITH ORDINALITY AS each (c, n)
  WHERE n < jsonb_array_length(o.cancellations) OR o.state NOT IN ('CANCELLED', 'REJECTED')
) s
WHERE NOT EXISTS (
  SELECT 1 FROM outbox_events e
  WHERE e.aggregate_id = o.order_id AND e.aggregate = 'order' AND e.occurred_time <= s.occur_time)
WINDOW steps AS (PARTITION BY o.order_id ORDER BY s.occur_time, s.place)
) known
ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    """Create and fill it."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "order_events",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text::bigint)"),
            nullable=False,
        ),
        sa.Column("buyer_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("occur_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("previous_state", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "number", name=op.f("pk_order_events")),
    )
    op.execute(_FROM_OUTBOX)
    op.execute(_FROM_ORDERS)
    op.create_index(op.f("ix_order_events_transaction_id"), "order_events", ["transaction_id"])
    op.create_index(op.f("ix_order_events_buyer_id_transaction_id"), "order_events", ["buyer_id", "transaction_id"])
    op.create_index(op.f("ix_order_events_seller_id_transaction_id"), "order_events", ["seller_id", "transaction_id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("order_events")
