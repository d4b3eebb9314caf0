"""What must hold in inventory at any time (invariant I1)."""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

INVARIANTS: Final = (
    Invariant(
        "I1",
        "0 <= reserved <= on hand and what may be oversold; on hand is the sum of the movements",
        "SELECT 'stock ' || s.variant_id AS id, 'has ' || s.on_hand || ' on hand, ' || s.reserved || ' reserved, '"
        "   || s.oversold || ' oversold, ' || COALESCE(m.moved, 0) || ' moved' AS wrong FROM stocks s"
        " LEFT JOIN (SELECT variant_id, sum(delta) AS moved FROM stock_movements GROUP BY variant_id) m"
        "   USING (variant_id)"
        " WHERE s.reserved < 0 OR s.oversold <> GREATEST(0, s.reserved - s.on_hand)"
        "   OR s.on_hand <> COALESCE(m.moved, 0)",
    ),
    Invariant(
        "I1",
        "no more comes back than was shipped",
        "SELECT 'stock ' || variant_id AS id, 'has ' || sum(delta) || ' more back of ' || reference || ' than went'"
        "   AS wrong FROM stock_movements WHERE kind IN ('SHIPPED', 'RETURNED')"
        " GROUP BY variant_id, reference HAVING sum(delta) > 0",
    ),
)
