"""How much of each product is sold lately: pieces by day, which popularity counts for SOLD_DAYS days.

order says what was paid for and what was taken back; the rows of days that count no more are swept away, and what they
were rows of is written anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from marketd.catalog.search.model import SOLD_DAYS
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.work.sweeps import BATCH

# In one order, so that two orders of the same products wait for each other in one direction only.
_ADD: Final = """
WITH sold AS (
  INSERT INTO search_sales AS s (product_id, day, sold)
  SELECT n.product_id, $3, n.sold FROM unnest($1::uuid[], $2::int[]) n(product_id, sold) ORDER BY n.product_id
  ON CONFLICT (product_id, day) DO UPDATE SET sold = s.sold + excluded.sold
)
INSERT INTO search_pending (product_id, standing_only) SELECT each, true FROM unnest($1::uuid[]) each
"""
_AGE: Final = """
WITH old AS (
  DELETE FROM search_sales WHERE (product_id, day) IN (
    SELECT product_id, day FROM search_sales WHERE day <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
  ) RETURNING product_id
),
noted AS (
  INSERT INTO search_pending (product_id, standing_only) SELECT DISTINCT product_id, true FROM old
)
SELECT count(*) FROM old
"""


async def add(connection: Connection, pieces: Mapping[UUID, int], day: date) -> None:
    """Count pieces of products that were paid for on a day (UTC), or with a minus sign taken back of those."""
    if pieces:
        await connection.execute(_ADD, list(pieces), list(pieces.values()), day)


async def age(uow: UnitOfWork) -> int:
    """Forget one batch of days that count no more; how many that were. The sweep."""
    gone: int = await uow.connection.fetchval(_AGE, uow.now.date() - timedelta(days=SOLD_DAYS), BATCH)
    return gone
