"""What must hold of payments at any time: the payments' half of I4."""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

# Every amount is said twice, in the payment and in its attempts and refunds; the two must agree.
INVARIANTS: Final = (
    Invariant(
        "I4",
        "a payment says what its attempts and refunds say",
        "SELECT 'payment ' || p.payment_id AS id, 'captured ' || p.captured_amount_minor || ' but attempts '"
        "   || COALESCE(a.captured, 0) || ', refunds set aside ' || p.refund_reserved_minor || ' but rows '"
        "   || COALESCE(r.reserved, 0) || ', given back ' || p.refunded_amount_minor || ' but rows '"
        "   || COALESCE(r.given, 0) AS wrong FROM payments p"
        " LEFT JOIN (SELECT payment_id, sum(amount_minor) AS captured FROM payment_attempts WHERE state = 'CAPTURED'"
        "   GROUP BY payment_id) a USING (payment_id)"
        " LEFT JOIN (SELECT payment_id, sum(amount_minor) FILTER (WHERE state <> 'FAILED') AS reserved,"
        "     sum(amount_minor) FILTER (WHERE state = 'SUCCEEDED') AS given"
        "   FROM refunds GROUP BY payment_id) r USING (payment_id)"
        " WHERE p.captured_amount_minor <> COALESCE(a.captured, 0)"
        "   OR p.refund_reserved_minor <> COALESCE(r.reserved, 0)"
        "   OR p.refunded_amount_minor <> COALESCE(r.given, 0) OR p.refunded_amount_minor > p.captured_amount_minor",
    ),
    Invariant(
        "I4",
        "a payment's amount and state are those of its money",
        "SELECT 'payment ' || payment_id AS id, state || ' for ' || amount_minor || ', took ' || captured_amount_minor"
        "   || ', gave back ' || refunded_amount_minor AS wrong FROM payments"
        " WHERE (captured_amount_minor > 0 AND amount_minor <> captured_amount_minor)"
        "   OR CASE state WHEN 'CAPTURED' THEN refunded_amount_minor > 0 OR captured_amount_minor <> amount_minor"
        "     WHEN 'PARTIALLY_REFUNDED' THEN refunded_amount_minor NOT BETWEEN 1 AND captured_amount_minor - 1"
        "     WHEN 'REFUNDED' THEN refunded_amount_minor <> captured_amount_minor"
        "     ELSE captured_amount_minor > 0 END",
    ),
    Invariant(
        "I4",
        "an order group is paid once",
        "SELECT 'order group ' || order_group_id AS id, 'was paid ' || count(*) || ' times' AS wrong"
        " FROM payment_attempts WHERE state = 'CAPTURED' AND NOT late GROUP BY order_group_id HAVING count(*) > 1",
    ),
)
