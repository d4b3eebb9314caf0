"""Every SQL statement of the uses of codes: counted in the transaction of the order, given back with its end.

All lock the codes' rows first, in the order of their ids, so that orders with several codes never wait in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# The rows are locked in order first, and judged and counted as they are by then: the UPDATE's own row is first what the
# statement saw at its start, in its conditions and in the table's CHECKs, which would pass over a use that was given
# back while it waited. What does not hold any more is not counted, and not used, and the caller finds out why.
_REDEEM: Final = """
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS w(promo_code_id, terms_version)
), locked AS (
  SELECT p.promo_code_id, p.usage_count, p.usage_ceiling, p.terms_version = w.terms_version AND p.disable_time IS NULL
    AND (p.start_time IS NULL OR p.start_time <= $5) AND (p.end_time IS NULL OR $5 < p.end_time)
    AND (p.usage_limit IS NULL OR p.usage_count < p.usage_limit) AS holds
  FROM wanted w JOIN promo_codes p USING (promo_code_id) ORDER BY p.promo_code_id FOR NO KEY UPDATE OF p
), counted AS (
  UPDATE promo_codes p SET usage_count = l.usage_count + 1, usage_ceiling = l.usage_ceiling FROM locked l
  WHERE p.promo_code_id = l.promo_code_id AND l.holds
  RETURNING p.promo_code_id, p.per_user_limit, p.first_order_only
), used AS (
  INSERT INTO promo_uses AS u (promo_code_id, user_id, count) SELECT c.promo_code_id, $3, 1 FROM counted c
  ON CONFLICT (promo_code_id, user_id) DO UPDATE SET count = u.count + 1
    WHERE u.count < COALESCE(
      (SELECT c.per_user_limit FROM counted c WHERE c.promo_code_id = u.promo_code_id), u.count + 1)
  RETURNING u.promo_code_id
), noted AS (
  INSERT INTO promo_redemptions (order_group_id, promo_code_id, user_id, create_time)
  SELECT $4, u.promo_code_id, $3, $5 FROM used u
)
SELECT c.promo_code_id, c.first_order_only, u.promo_code_id IS NOT NULL AS used
FROM counted c LEFT JOIN used u USING (promo_code_id)
"""

_GIVE_BACK: Final = """
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS w(order_group_id, promo_code_id)
), locked AS (
  SELECT p.promo_code_id FROM promo_codes p WHERE p.promo_code_id IN (SELECT w.promo_code_id FROM wanted w)
  ORDER BY p.promo_code_id FOR NO KEY UPDATE
), back AS (
  UPDATE promo_redemptions r SET give_back_time = $3 FROM wanted w JOIN locked l USING (promo_code_id)
  WHERE r.order_group_id = w.order_group_id AND r.promo_code_id = w.promo_code_id AND r.give_back_time IS NULL
  RETURNING r.promo_code_id, r.user_id
), less AS (
  UPDATE promo_uses u SET count = u.count - b.back_count
  FROM (SELECT promo_code_id, user_id, count(*)::int AS back_count FROM back GROUP BY 1, 2) b
  WHERE u.promo_code_id = b.promo_code_id AND u.user_id = b.user_id
)
UPDATE promo_codes p SET usage_count = p.usage_count - b.back_count
FROM (SELECT promo_code_id, count(*)::int AS back_count FROM back GROUP BY 1) b WHERE p.promo_code_id = b.promo_code_id
"""


@dataclass(frozen=True, slots=True)
class CountedUse:
    """A code that a use was counted of, in all; not `used` when the account has none left."""

    promo_code_id: UUID
    first_order_only: bool
    used: bool


_COUNTED: Final = Columns(CountedUse)


async def redeem(
    connection: Connection, user_id: UUID, order_group_id: UUID, terms_versions: Mapping[UUID, int], now: datetime
) -> list[CountedUse]:
    """Count a use of each code whose terms still are of that version, and which may be used; the others are left out.

    terms_versions: by promo_code_id.
    """
    rows = await connection.fetch(
        _REDEEM, list(terms_versions), list(terms_versions.values()), user_id, order_group_id, now
    )
    return _COUNTED.values(rows)


async def give_back(connection: Connection, uses: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """Take back the uses, each by its order_group_id and promo_code_id, that stand. uses: unique."""
    await connection.execute(_GIVE_BACK, [group for group, _ in uses], [code for _, code in uses], now)
