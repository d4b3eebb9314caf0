"""Every SQL statement of attempts: how often somebody failed at a name.

The rules are in the statement: it must count and decide at once, or of many attempts together all would pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from marketd.auth.codes.values import AttemptRules
from marketd.kernel.db.database import Connection

# One statement, so that of many attempts at once each gets a number of its own. The pause after the n-th failure
# doubles from a second. The free ones pass without a look at the time: of two at once the second may carry the earlier
# clock.
_COUNT = """
INSERT INTO login_attempts AS a (name_hash, failures, last_time, next_time) VALUES ($1, 1, $2, $2)
ON CONFLICT (name_hash) DO UPDATE SET
  failures = CASE WHEN a.last_time <= $2 - $3::interval THEN 1 ELSE a.failures + 1 END,
  last_time = $2,
  next_time = CASE
    WHEN a.last_time <= $2 - $3::interval OR a.failures + 1 < $4 THEN $2
    WHEN a.failures + 1 >= $5 THEN $2 + $3::interval
    ELSE $2 + power(2, a.failures + 1 - $4) * interval '1 second'
  END
WHERE a.failures < $4 OR a.next_time <= $2 OR a.last_time <= $2 - $3::interval
RETURNING failures
"""


async def count(connection: Connection, name_hash: bytes, now: datetime, rules: AttemptRules) -> bool:
    """Count an attempt as failed; False, and nothing is counted, while a pause runs."""
    taken = await connection.fetchval(_COUNT, name_hash, now, rules.forget, rules.free, rules.limit)
    return taken is not None


async def next_time(connection: Connection, name_hash: bytes) -> datetime | None:
    """When the pause is over that runs for the name; None when nothing is counted."""
    value: datetime | None = await connection.fetchval(
        "SELECT next_time FROM login_attempts WHERE name_hash = $1", name_hash
    )
    return value


async def take_back(connection: Connection, name_hash: bytes, free: int) -> None:
    """One attempt did not fail; the failures before it stay counted."""
    await connection.execute(
        "UPDATE login_attempts SET failures = greatest(failures - 1, 0),"
        " next_time = CASE WHEN failures - 1 < $2 THEN last_time ELSE next_time END WHERE name_hash = $1",
        name_hash,
        free,
    )


async def delete(connection: Connection, name_hashes: Sequence[bytes]) -> None:
    """Forget the failures of these names. name_hashes: sorted, so that two at once lock in one order."""
    await connection.execute("DELETE FROM login_attempts WHERE name_hash = ANY($1::bytea[])", name_hashes)
