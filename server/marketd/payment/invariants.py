"""What must hold of payments at any time (the payments' half of I4), as statements that find what breaks it."""

from __future__ import annotations

from marketd.kernel.db.database import Connection

# Every amount is said twice, in the payment and in its attempts and refunds; the two must agree.
_BROKEN = """
SELECT p.payment_id, p.captured_minor, p.refund_reserved_minor, p.refunded_minor,
  COALESCE(a.captured, 0) AS attempts, COALESCE(r.reserved, 0) AS reserved, COALESCE(r.given, 0) AS given
FROM payments p
LEFT JOIN (
  SELECT payment_id, sum(amount_minor) AS captured FROM payment_attempts WHERE state = 'CAPTURED' GROUP BY payment_id
) a USING (payment_id)
LEFT JOIN (
  SELECT payment_id, sum(amount_minor) FILTER (WHERE state <> 'FAILED') AS reserved,
    sum(amount_minor) FILTER (WHERE state = 'SUCCEEDED') AS given
  FROM refunds GROUP BY payment_id
) r USING (payment_id)
WHERE p.captured_minor <> COALESCE(a.captured, 0) OR p.refund_reserved_minor <> COALESCE(r.reserved, 0)
  OR p.refunded_minor <> COALESCE(r.given, 0) OR p.refunded_minor > p.captured_minor
ORDER BY p.payment_id LIMIT 100
"""

_DOUBLE = """
SELECT order_group_id, count(*) AS charges FROM payment_attempts
WHERE state = 'CAPTURED' AND NOT is_late GROUP BY order_group_id HAVING count(*) > 1 ORDER BY order_group_id LIMIT 100
"""


async def violations(connection: Connection) -> list[str]:
    """Payments that break I4 in themselves, at most 100 of a kind, one sentence each."""
    found = [
        f"payment {row['payment_id']}: captured {row['captured_minor']} but attempts {row['attempts']}, refunds set"
        f" aside {row['refund_reserved_minor']} but rows {row['reserved']}, given back {row['refunded_minor']} but rows"
        f" {row['given']}"
        for row in await connection.fetch(_BROKEN)
    ]
    found.extend(
        f"order group {row['order_group_id']}: paid {row['charges']} times" for row in await connection.fetch(_DOUBLE)
    )
    return found
