"""What must hold of orders at any time: what they hold of the stock (I1), once only (I3), their money (I4), where they
are brought (I12), and that somebody waits for them (I13).
"""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

INVARIANTS: Final = (
    Invariant(
        "I1",
        "what is reserved is what open orders hold",
        "SELECT s.variant_id::text AS id, s.reserved || ' reserved, open orders hold ' || COALESCE(h.held, 0) AS wrong"
        " FROM stocks s LEFT JOIN (SELECT i.variant_id, sum(i.quantity - i.cancelled_quantity) AS held"
        "   FROM order_items i JOIN orders o USING (order_id)"
        "   WHERE o.state IN ('PENDING_PAYMENT', 'PAID', 'ACCEPTED', 'READY') GROUP BY i.variant_id) h"
        " USING (variant_id)"
        " WHERE s.reserved <> COALESCE(h.held, 0)",
    ),
    Invariant(
        "I3",
        "a quote is ordered once, and every group has orders",
        "SELECT g.order_group_id::text AS id, count(o.order_id) || ' orders' AS wrong FROM order_groups g"
        " LEFT JOIN orders o USING (order_group_id) GROUP BY g.order_group_id"
        " HAVING count(o.order_id) = 0 OR count(o.order_id) <> count(DISTINCT o.seller_id)",
    ),
    Invariant(
        "I4",
        "orders' money is the payments'",
        "SELECT o.order_group_id::text AS id, 'orders keep ' || o.kept || ', payments ' || p.kept AS wrong"
        " FROM (SELECT order_group_id, sum(due_minor - refund_reserved_minor) FILTER (WHERE pay_time IS NOT NULL)"
        "         AS kept FROM orders GROUP BY order_group_id) o"
        " JOIN (SELECT order_group_id, sum(captured_amount_minor - refund_reserved_minor) AS kept FROM payments"
        "         GROUP BY order_group_id) p USING (order_group_id)"
        " WHERE COALESCE(o.kept, 0) <> p.kept",
    ),
    Invariant(
        "I4",
        "what is open is what its payment asks for",
        "SELECT o.order_group_id::text AS id, 'orders wait for ' || o.due || ', the payment asks for '"
        "   || COALESCE(p.amount_minor::text, 'nothing') AS wrong"
        " FROM (SELECT order_group_id, sum(due_minor) AS due FROM orders WHERE state = 'PENDING_PAYMENT'"
        "         GROUP BY order_group_id) o"
        " LEFT JOIN payments p ON p.order_group_id = o.order_group_id"
        "   AND p.state IN ('PENDING', 'ACTION_REQUIRED', 'DECLINED')"
        " WHERE p.amount_minor IS DISTINCT FROM o.due",
    ),
    Invariant(
        "I4",
        "given back is what refunds say",
        "SELECT o.order_id::text AS id,"
        "   'given back ' || o.refunded_amount_minor || ', refunds say ' || COALESCE(r.given, 0) AS wrong FROM orders o"
        " LEFT JOIN (SELECT (share ->> 0)::uuid AS order_id, sum((share ->> 1)::bigint) AS given"
        "   FROM refunds, jsonb_array_elements(shares) AS share WHERE state = 'SUCCEEDED' GROUP BY 1) r"
        " USING (order_id)"
        " WHERE o.refunded_amount_minor <> COALESCE(r.given, 0)",
    ),
    Invariant(
        "I4",
        "taxes are what the prices include",
        "SELECT p.id, 'tax of ' || p.tax || ' in ' || p.gross || ' at a rate of ' || p.rate AS wrong"
        " FROM (SELECT item_id::text AS id, tax_rate::numeric AS rate, tax_amount_minor AS tax,"
        "         unit_price_minor * quantity - discount_amount_minor AS gross FROM order_items"
        "       UNION ALL SELECT order_id::text, delivery_tax_rate, delivery_tax_amount_minor,"
        "         delivery_fee_minor - delivery_discount_amount_minor FROM orders) p"
        " WHERE p.tax <> div(2 * p.gross * p.rate + 1000000 + p.rate, 2 * (1000000 + p.rate))",
    ),
    Invariant(
        "I4",
        "what is cancelled of a line is what cancellations say",
        "SELECT i.item_id::text AS id, i.cancelled_quantity || ' pieces are cancelled, cancellations say '"
        "   || COALESCE(c.gone, 0) AS wrong FROM order_items i"
        " LEFT JOIN (SELECT (line ->> 0)::uuid AS item_id, sum((line ->> 1)::bigint) AS gone"
        "   FROM orders, jsonb_array_elements(cancellations) AS each, jsonb_array_elements(each -> 'lines') AS line"
        "   GROUP BY 1) c USING (item_id)"
        " WHERE i.cancelled_quantity <> COALESCE(c.gone, 0)",
    ),
    # A cancellation takes off what is due while the order is unpaid; later it has a refund, which may have failed.
    Invariant(
        "I4",
        "what cancellations took off is not due any more, or has its refund",
        "SELECT o.order_id::text AS id, o.state || ': ' || o.due_minor || ' of ' || o.total_minor || ' are due,"
        " cancellations took ' || c.taken || ', refunds were ' || COALESCE(r.given, 0) AS wrong FROM orders o"
        " JOIN (SELECT order_id, sum(COALESCE((each ->> 'amount_minor')::bigint, 0)) AS taken"
        "   FROM orders LEFT JOIN jsonb_array_elements(cancellations) AS each ON true GROUP BY order_id) c"
        " USING (order_id)"
        " LEFT JOIN (SELECT (share ->> 0)::uuid AS order_id, sum((share ->> 1)::bigint) AS given"
        "   FROM refunds, jsonb_array_elements(shares) AS share GROUP BY 1) r USING (order_id)"
        " WHERE CASE WHEN o.state = 'EXPIRED' THEN o.due_minor > 0"
        "   WHEN o.pay_time IS NULL THEN c.taken <> o.total_minor - o.due_minor"
        "   ELSE c.taken - (o.total_minor - o.due_minor) NOT BETWEEN 0 AND COALESCE(r.given, 0) END"
        "   OR c.taken > o.total_minor OR (o.state IN ('CANCELLED', 'REJECTED')) AND o.cancellations = '[]'",
    ),
    Invariant(
        "I4",
        "refunded and still going",
        "SELECT o.order_id::text AS id, o.state || ' although all of its money is given back' AS wrong FROM orders o"
        " WHERE o.state IN ('PAID', 'ACCEPTED', 'READY') AND o.due_minor > 0"
        "   AND o.refund_reserved_minor >= o.due_minor",
    ),
    Invariant(
        "I4",
        "an order that ended has nothing left",
        "SELECT o.order_id::text AS id, o.state || ' with pieces left' AS wrong FROM orders o"
        " WHERE o.state IN ('CANCELLED', 'REJECTED') AND EXISTS (SELECT 1 FROM order_items i"
        "   WHERE i.order_id = o.order_id AND i.cancelled_quantity < i.quantity)",
    ),
    Invariant(
        "I4",
        "totals are the lines'",
        "SELECT o.order_id::text AS id, 'subtotal ' || o.subtotal_minor || ', lines ' || l.lines AS wrong FROM orders o"
        " JOIN (SELECT order_id, sum(unit_price_minor * quantity) AS lines FROM order_items GROUP BY order_id) l"
        " USING (order_id) WHERE o.subtotal_minor <> l.lines",
    ),
    Invariant(
        "I4",
        "discounts are the promotions' shares",
        "SELECT d.id, 'discounts ' || d.said || ', promotions ' || d.shared AS wrong FROM ("
        " SELECT i.item_id::text AS id, i.discount_amount_minor AS said, COALESCE((SELECT"
        "     sum((p -> 'line_shares' ->> i.item_id::text)::bigint) FROM jsonb_array_elements(o.promotions) p), 0)"
        "   AS shared FROM order_items i JOIN orders o USING (order_id)"
        "   WHERE i.discount_amount_minor <> 0 OR o.promotions <> '[]'"
        " UNION ALL SELECT o.order_id::text, o.discount_amount_minor + o.delivery_discount_amount_minor,"
        "   (SELECT COALESCE(sum((p ->> 'delivery_share')::bigint), 0) FROM jsonb_array_elements(o.promotions) p)"
        "     + (SELECT sum(discount_amount_minor) FROM order_items i WHERE i.order_id = o.order_id) FROM orders o"
        "   WHERE o.discount_amount_minor <> 0 OR o.delivery_discount_amount_minor <> 0 OR o.promotions <> '[]'"
        " ) d WHERE d.said <> d.shared",
    ),
    # A use counts while one order of its group holds the code (Order.holds_promotions).
    Invariant(
        "I4",
        "promo codes are used by the orders that hold them",
        "SELECT order_group_id || ' ' || promo_code_id AS id,"
        "   CASE WHEN h.promo_code_id IS NULL THEN 'used by no order that stands' ELSE 'held and not used' END AS wrong"
        " FROM (SELECT order_group_id, promo_code_id FROM promo_redemptions WHERE give_back_time IS NULL) u"
        " FULL JOIN (SELECT DISTINCT order_group_id, (p ->> 'promo_code_id')::uuid AS promo_code_id"
        "   FROM orders, jsonb_array_elements(promotions) AS p"
        "   WHERE state NOT IN ('CANCELLED', 'REJECTED', 'EXPIRED', 'REFUNDED')) h"
        "   USING (order_group_id, promo_code_id)"
        " WHERE u.promo_code_id IS NULL OR h.promo_code_id IS NULL",
    ),
    Invariant(
        "I4",
        "no live order without a whole line",
        "SELECT o.order_id::text AS id, o.state || ' with nothing left' AS wrong FROM orders o"
        " WHERE o.state IN ('PENDING_PAYMENT', 'PAID', 'ACCEPTED', 'READY', 'OUT_FOR_DELIVERY')"
        " AND NOT EXISTS (SELECT 1 FROM order_items i WHERE i.order_id = o.order_id"
        "   AND i.cancelled_quantity < i.quantity)",
    ),
    Invariant(
        "I12",
        "what is sent has an address, and nothing else",
        "SELECT o.order_id::text AS id,"
        "   CASE WHEN o.address IS NULL THEN 'is sent nowhere' ELSE 'is not sent, and has an address' END AS wrong"
        " FROM orders o WHERE (o.address IS NOT NULL) <> EXISTS (SELECT 1 FROM order_items i"
        "   WHERE i.order_id = o.order_id AND i.requires_shipping)",
    ),
    Invariant(
        "I12",
        "who waits for a courier has something to be fetched",
        "SELECT o.order_id::text AS id, o.state || ' with nothing left that is sent' AS wrong FROM orders o"
        " WHERE o.state IN ('READY', 'OUT_FOR_DELIVERY') AND NOT EXISTS (SELECT 1 FROM order_items i"
        "   WHERE i.order_id = o.order_id AND i.requires_shipping AND i.cancelled_quantity < i.quantity)",
    ),
    # CancelOrder, FailDelivery and the like end it; an account is not deleted any more while it has one.
    Invariant(
        "I13",
        "who waits for an order is there",
        "SELECT o.order_id::text AS id, o.state || ', and its buyer is deleted' AS wrong FROM orders o"
        " JOIN accounts a ON a.user_id = o.buyer_id AND a.state = 'DELETED'"
        " WHERE o.state IN ('PENDING_PAYMENT', 'PAID', 'ACCEPTED', 'READY', 'OUT_FOR_DELIVERY')",
    ),
)
