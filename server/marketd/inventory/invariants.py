"""What must hold in inventory at any time (invariant I1), as statements that find what breaks it."""

from __future__ import annotations

from marketd.kernel.db.database import Connection

_BROKEN = """
SELECT s.variant_id, s.on_hand, s.reserved, COALESCE(m.moved, 0) AS moved
FROM stocks s
LEFT JOIN (SELECT variant_id, sum(delta) AS moved FROM stock_movements GROUP BY variant_id) m USING (variant_id)
WHERE s.reserved < 0 OR s.reserved > s.on_hand OR s.on_hand <> COALESCE(m.moved, 0)
ORDER BY s.variant_id LIMIT 100
"""


async def violations(connection: Connection) -> list[str]:
    """Stocks that break I1 (0 <= reserved <= on_hand, on_hand = sum of movements), at most 100, one sentence each."""
    return [
        f"stock {row['variant_id']}: on hand {row['on_hand']}, reserved {row['reserved']}, movements {row['moved']}"
        for row in await connection.fetch(_BROKEN)
    ]
