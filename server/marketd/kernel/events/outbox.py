"""The outbox: events written in the transaction that made them true, numbered without gaps within their aggregate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, Index, Integer, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base, Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.events.events import Event, StoredEvent, to_json
from marketd.kernel.values.ids import new_id


class AggregateSequenceTable(Base):
    """The last number given to an aggregate's events; its row lock keeps the numbers in commit order."""

    __tablename__ = "aggregate_sequences"

    aggregate_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)


class OutboxEventTable(Base):
    """One event. `position` orders what the relay reads; unpublished rows are claimed, never passed by a cursor."""

    __tablename__ = "outbox_events"
    __table_args__ = (
        UniqueConstraint("aggregate_id", "seq"),
        Index("ix_outbox_events_unpublished", "position", postgresql_where=text("publish_time IS NULL")),
        Index("ix_outbox_events_publish_time", "publish_time", postgresql_where=text("publish_time IS NOT NULL")),
    )

    event_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    aggregate: Mapped[str] = mapped_column(Text)
    aggregate_id: Mapped[UUID] = mapped_column(Uuid)
    seq: Mapped[int] = mapped_column(BigInteger)
    event_type: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)
    occurred_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    publish_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class HandledEventTable(Base):
    """That a handler's effect of an event is in the database; the key makes a second delivery harmless."""

    __tablename__ = "handled_events"
    __table_args__ = (Index(None, "handle_time"),)

    handler: Mapped[str] = mapped_column(Text, primary_key=True)
    event_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    handle_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class DeadLetterTable(Base):
    """An event or job that failed until its attempts ran out, kept for a person to look at."""

    __tablename__ = "dead_letters"

    dead_letter_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    source_id: Mapped[UUID] = mapped_column(Uuid)
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)
    error: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# One statement for all events of a transaction. The upsert locks aggregates in id order, and the insert reads its
# result, so `position` and `seq` of one aggregate grow together.
def append_sql(first: int, after: str = "true") -> tuple[str, str]:
    """SQL that writes the events of `append_arguments`, which are `$first` and those after it: the CTEs, and the
    statement that ends them. `after` is a condition that holds, and that other CTEs are run for first.
    """
    ids, aggregates, aggregate_ids, types, versions, payloads, now = (f"${first + place}" for place in range(7))
    ctes = f"""incoming AS (
  SELECT * FROM unnest({ids}::uuid[], {aggregates}::text[], {aggregate_ids}::uuid[], {types}::text[],
      {versions}::int[], {payloads}::text[])
    WITH ORDINALITY AS e(event_id, aggregate, aggregate_id, event_type, version, payload, place)
  WHERE {after}
), counted AS (
  INSERT INTO aggregate_sequences AS s (aggregate_id, last_seq)
  SELECT aggregate_id, count(*) FROM incoming GROUP BY aggregate_id ORDER BY aggregate_id
  ON CONFLICT (aggregate_id) DO UPDATE SET last_seq = s.last_seq + excluded.last_seq
  RETURNING aggregate_id, last_seq
)"""  # noqa: S608 - places
    last = f"""INSERT INTO outbox_events
  (event_id, aggregate, aggregate_id, seq, event_type, version, payload, occurred_time)
SELECT i.event_id, i.aggregate, i.aggregate_id,
       c.last_seq - count(*) OVER (PARTITION BY i.aggregate_id)
         + row_number() OVER (PARTITION BY i.aggregate_id ORDER BY i.place),
       i.event_type, i.version, i.payload::jsonb, {now}::timestamptz
FROM incoming i JOIN counted c USING (aggregate_id) ORDER BY i.place
"""  # noqa: S608 - places
    return ctes, last


def append_arguments(events: Sequence[Event], now: datetime) -> list[object]:
    """What `append_sql` takes."""
    return [
        [new_id() for _ in events],
        [event.aggregate for event in events],
        [event.aggregate_id for event in events],
        [event.event_type for event in events],
        [event.version for event in events],
        [to_json(event) for event in events],
        now,
    ]


_APPEND: Final = "WITH {} {}".format(*append_sql(1))


async def append(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Write the events alone; a transaction's own go with all that it writes last (kernel.db.tail)."""
    await connection.execute(_APPEND, *append_arguments(events, now))


_EVENT = Columns(StoredEvent)
LAST_SEQ: Final = "coalesce((SELECT last_seq FROM aggregate_sequences WHERE aggregate_id = $1), 0)"
"""SQL: the number of the newest event of the aggregate `$1`, 0 when there is none.

For a statement that reads the aggregate's own rows too, so that neither is ahead of the other.
"""


async def read_aggregate(
    connection: Connection, aggregate_id: UUID, after_seq: int, limit: int = 200
) -> list[StoredEvent]:
    """The aggregate's committed events after `after_seq`, in order: what watchers resume from."""
    rows = await connection.fetch(
        f"SELECT {_EVENT.sql} FROM outbox_events WHERE aggregate_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",  # noqa: S608 - constant columns
        aggregate_id,
        after_seq,
        limit,
    )
    return _EVENT.values(rows)


async def read_aggregates(
    connection: Connection, places: Sequence[tuple[UUID, int]], limit: int = 200
) -> list[StoredEvent]:
    """The events of several aggregates in one statement. places: (aggregate id, number after which to read).

    In order within each aggregate, and at most `limit` of each.
    """
    rows = await connection.fetch(
        f"SELECT e.* FROM unnest($1::uuid[], $2::bigint[]) AS w(aggregate_id, seen) CROSS JOIN LATERAL ("  # noqa: S608 - constant columns
        f"  SELECT {_EVENT.sql} FROM outbox_events o"
        "  WHERE o.aggregate_id = w.aggregate_id AND o.seq > w.seen ORDER BY o.seq LIMIT $3) e"
        " ORDER BY e.aggregate_id, e.seq",
        [aggregate_id for aggregate_id, _ in places],
        [seen for _, seen in places],
        limit,
    )
    return _EVENT.values(rows)


async def find_behind(connection: Connection, places: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """Which aggregates have newer events. places: (aggregate id, number of the last event seen)."""
    rows = await connection.fetch(
        "SELECT s.aggregate_id FROM unnest($1::uuid[], $2::bigint[]) AS w(aggregate_id, seen)"
        " JOIN aggregate_sequences s USING (aggregate_id) WHERE s.last_seq > w.seen",
        [aggregate_id for aggregate_id, _ in places],
        [seen for _, seen in places],
    )
    return [row["aggregate_id"] for row in rows]


async def last_seqs(connection: Connection, aggregate_ids: Sequence[UUID]) -> list[int]:
    """The number of the newest event of each aggregate, 0 when there is none, in the order of the ids."""
    rows = await connection.fetch(
        "SELECT aggregate_id, last_seq FROM aggregate_sequences WHERE aggregate_id = ANY($1::uuid[])",
        list(aggregate_ids),
    )
    found: dict[UUID, int] = {row["aggregate_id"]: row["last_seq"] for row in rows}
    return [found.get(aggregate_id, 0) for aggregate_id in aggregate_ids]


async def last_seq(connection: Connection, aggregate_id: UUID) -> int:
    """The number of the aggregate's newest event, 0 when there is none."""
    return int(await connection.fetchval(f"SELECT {LAST_SEQ}", aggregate_id))


async def read_unpublished(connection: Connection, now: datetime, limit: int) -> list[StoredEvent]:
    """What the relay has to hand on, in order; aggregates whose oldest event waits for a retry are left out whole."""
    rows = await connection.fetch(
        f"SELECT {_EVENT.sql} FROM outbox_events o WHERE publish_time IS NULL"  # noqa: S608 - constant columns
        " AND NOT EXISTS (SELECT 1 FROM outbox_events b WHERE b.aggregate_id = o.aggregate_id"
        "   AND b.publish_time IS NULL AND b.next_attempt_time > $1)"
        " ORDER BY position LIMIT $2",
        now,
        limit,
    )
    return _EVENT.values(rows)


async def mark_published(connection: Connection, event_ids: Sequence[UUID], now: datetime) -> None:
    """These events reached all their handlers."""
    await connection.execute(
        "UPDATE outbox_events SET publish_time = $2 WHERE event_id = ANY($1::uuid[]) AND publish_time IS NULL",
        list(event_ids),
        now,
    )
