"""What must hold of the kernel's own tables and sessions, as statements that find what breaks it. Read-only.

I3's half that the kernel sees (one stored answer for a caller, method and request id), I5 (every event is handed on, in
order, numbered without gaps), I6 (nobody holds a transaction open and does nothing).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from marketd.kernel.db.database import Connection

HANDED_ON_WITHIN: Final = timedelta(seconds=10)
"""An event that has waited longer is stuck, not on its way."""
IDLE_AT_MOST: Final = timedelta(seconds=5)
_LIMIT: Final = 20

# The primary key says the same; reading the table itself also finds a broken index.
_ANSWERED_TWICE: Final = """
SELECT caller_key, method, request_id, count(*) AS times FROM idempotency_keys
GROUP BY caller_key, method, request_id HAVING count(*) > 1 LIMIT $1
"""

_WAITING: Final = """
SELECT event_id, event_type, attempts, now() - occurred_time AS age FROM outbox_events
WHERE published_time IS NULL AND occurred_time < now() - $1::interval ORDER BY position LIMIT $2
"""

_GIVEN_UP: Final = "SELECT kind, source_id FROM dead_letters ORDER BY create_time LIMIT $1"

# Only events of the last day: retention deletes old ones, not always the oldest of an aggregate first.
_NUMBERED_WRONG: Final = """
SELECT aggregate, aggregate_id, seq, before_seq FROM (
  SELECT aggregate, aggregate_id, seq, position,
    lag(seq) OVER numbered AS before_seq, lag(position) OVER numbered AS before_position
  FROM outbox_events WHERE occurred_time > now() - interval '1 day'
  WINDOW numbered AS (PARTITION BY aggregate_id ORDER BY seq)
) AS e
WHERE (before_seq IS NOT NULL AND before_seq <> seq - 1) OR before_position > position LIMIT $1
"""

# The counter and the newest event were written by one statement.
_COUNTED_WRONG: Final = """
SELECT e.aggregate_id, e.newest, s.last_seq FROM (
  SELECT aggregate_id, max(seq) AS newest FROM outbox_events
  WHERE occurred_time > now() - interval '1 day' GROUP BY aggregate_id
) AS e LEFT JOIN aggregate_sequences s USING (aggregate_id)
WHERE s.last_seq IS DISTINCT FROM e.newest LIMIT $1
"""

_OUT_OF_ORDER: Final = """
SELECT w.aggregate_id, w.seq FROM outbox_events w
WHERE w.published_time IS NULL AND EXISTS (
  SELECT 1 FROM outbox_events l
  WHERE l.aggregate_id = w.aggregate_id AND l.seq > w.seq AND l.published_time IS NOT NULL)
LIMIT $1
"""

_IDLE: Final = """
SELECT pid, state, clock_timestamp() - state_change AS idle FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'marketd' AND pid <> pg_backend_pid()
  AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - $1::interval LIMIT $2
"""


async def once_only(connection: Connection) -> list[str]:
    """I3: request ids with more than one stored answer."""
    return [
        f"request {row['request_id']} of {row['caller_key']} to {row['method']} has {row['times']} answers"
        for row in await connection.fetch(_ANSWERED_TWICE, _LIMIT)
    ]


async def handed_on(connection: Connection) -> list[str]:
    """I5: events that are stuck, given up, misnumbered or out of order."""
    found = [
        f"event {row['event_id']} ({row['event_type']}) waits since {row['age']}, after {row['attempts']} failures"
        for row in await connection.fetch(_WAITING, HANDED_ON_WITHIN, _LIMIT)
    ]
    found += [f"{row['kind']} of {row['source_id']} was given up" for row in await connection.fetch(_GIVEN_UP, _LIMIT)]
    found += [
        f"{row['aggregate']} {row['aggregate_id']}: event {row['seq']} comes after {row['before_seq']}"
        for row in await connection.fetch(_NUMBERED_WRONG, _LIMIT)
    ]
    found += [
        f"aggregate {row['aggregate_id']}: its newest event is {row['newest']}, counted {row['last_seq']}"
        for row in await connection.fetch(_COUNTED_WRONG, _LIMIT)
    ]
    found += [
        f"aggregate {row['aggregate_id']}: event {row['seq']} waits behind a later one that was handed on"
        for row in await connection.fetch(_OUT_OF_ORDER, _LIMIT)
    ]
    return found


async def none_idle_in_transaction(connection: Connection) -> list[str]:
    """I6: sessions of ours that hold a transaction open and do nothing."""
    return [
        f"backend {row['pid']} is {row['state']} since {row['idle']}"
        for row in await connection.fetch(_IDLE, IDLE_AT_MOST, _LIMIT)
    ]
