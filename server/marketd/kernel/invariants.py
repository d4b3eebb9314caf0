"""What must hold of the kernel's own tables and sessions: one stored answer for a caller, method and request id (I3),
every event handed on, in order, numbered without gaps (I5), nobody holding a transaction open and doing nothing (I6).
"""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

# ruff: noqa: S608 - every interpolated part is one of the constants here
# Only events of the last day are compared: retention deletes old ones, not always the oldest of an aggregate first.
_LATELY: Final = "occurred_time > now() - interval '1 day'"

INVARIANTS: Final = (
    # The primary key says the same; reading the table itself also finds a broken index.
    Invariant(
        "I3",
        "a request id has one answer",
        "SELECT 'request ' || request_id || ' of ' || caller_key || ' to ' || method AS id,"
        "   'has ' || count(*) || ' answers' AS wrong FROM idempotency_keys"
        " GROUP BY caller_key, method, request_id HAVING count(*) > 1",
    ),
    # An event that has waited longer is stuck, not on its way.
    Invariant(
        "I5",
        "an event is handed on within ten seconds",
        "SELECT 'event ' || event_id || ' (' || event_type || ')' AS id, 'waits since ' || (now() - occurred_time)"
        "   || ', after ' || attempts || ' failures' AS wrong FROM outbox_events"
        " WHERE publish_time IS NULL AND occurred_time < now() - interval '10 seconds' ORDER BY position",
    ),
    Invariant(
        "I5",
        "nothing is given up",
        "SELECT kind || ' of ' || source_id AS id, 'was given up' AS wrong FROM dead_letters ORDER BY create_time",
    ),
    Invariant(
        "I5",
        "an aggregate's events are numbered without gaps, in the order of their positions",
        "SELECT aggregate || ' ' || aggregate_id AS id,"
        "   'has event ' || seq || ' after ' || COALESCE(before_seq::text, 'none') AS wrong FROM ("
        "   SELECT aggregate, aggregate_id, seq, position, lag(seq) OVER numbered AS before_seq,"
        "     lag(position) OVER numbered AS before_position"
        f"   FROM outbox_events WHERE {_LATELY} WINDOW numbered AS (PARTITION BY aggregate_id ORDER BY seq)"
        " ) e WHERE (before_seq IS NOT NULL AND before_seq <> seq - 1) OR before_position > position",
    ),
    # The counter and the newest event were written by one statement.
    Invariant(
        "I5",
        "an aggregate's counter is its newest event",
        "SELECT 'aggregate ' || e.aggregate_id AS id, 'has event ' || e.newest || ' as its newest, counted '"
        "   || COALESCE(s.last_seq::text, 'none') AS wrong FROM (SELECT aggregate_id, max(seq) AS newest"
        f"   FROM outbox_events WHERE {_LATELY} GROUP BY aggregate_id) e"
        " LEFT JOIN aggregate_sequences s USING (aggregate_id) WHERE s.last_seq IS DISTINCT FROM e.newest",
    ),
    Invariant(
        "I5",
        "no event waits behind a later one of its aggregate that was handed on",
        "SELECT 'aggregate ' || w.aggregate_id AS id, 'has event ' || w.seq || ' waiting' AS wrong FROM outbox_events w"
        " WHERE w.publish_time IS NULL AND EXISTS (SELECT 1 FROM outbox_events l"
        "   WHERE l.aggregate_id = w.aggregate_id AND l.seq > w.seq AND l.publish_time IS NOT NULL)",
    ),
    Invariant(
        "I6",
        "no session of ours is idle in a transaction for five seconds",
        "SELECT 'backend ' || pid AS id, 'is ' || state || ' since ' || (clock_timestamp() - state_change) AS wrong"
        " FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'marketd'"
        " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
        " AND state_change < clock_timestamp() - interval '5 seconds'",
    ),
)
