"""Jobs and timers: work for later in our own table, claimed with SKIP LOCKED by any number of workers.

A transactional handler's effect and the end of its job are one commit, so it happens once. An outside handler (mail, a
provider) runs without a transaction and may run again after a crash; it must be idempotent at the other side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy import DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base, Connection
from marketd.kernel.events.events import Job, Json, to_json
from marketd.kernel.values.ids import new_id

Payload: TypeAlias = Mapping[str, Json]


class JobTable(Base):
    """A job that waits or runs; done ones are deleted."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "kind", "run_time"),
        Index("uq_jobs_dedup_key", "dedup_key", unique=True, postgresql_where=text("dedup_key IS NOT NULL")),
    )

    job_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)
    run_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(Integer)
    dedup_key: Mapped[str | None] = mapped_column(Text)
    last_error: Mapped[str | None] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


INSERT_ARGUMENTS: Final = 7


def insert_sql(first: int) -> str:
    """SQL that writes the jobs of `insert_arguments`, which are `$first` and those after it."""
    ids, kinds, payloads, times, attempts, keys, now = (f"${first + place}" for place in range(INSERT_ARGUMENTS))
    return (
        "INSERT INTO jobs (job_id, kind, payload, run_time, max_attempts, dedup_key, create_time)"  # noqa: S608 - places
        f" SELECT j.job_id, j.kind, j.payload::jsonb, j.run_time, j.max_attempts, j.dedup_key, {now}::timestamptz"
        f" FROM unnest({ids}::uuid[], {kinds}::text[], {payloads}::text[], {times}::timestamptz[], {attempts}::int[],"
        f"   {keys}::text[]) AS j(job_id, kind, payload, run_time, max_attempts, dedup_key)"
        " ON CONFLICT (dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING"
    )


def insert_arguments(jobs: Sequence[Job], now: datetime) -> list[object]:
    """What `insert_sql` takes."""
    return [
        [new_id() for _ in jobs],
        [job.kind for job in jobs],
        [to_json(job.payload) for job in jobs],
        [job.run_time or now for job in jobs],
        [job.max_attempts for job in jobs],
        [job.dedup_key for job in jobs],
        now,
    ]


_INSERT: Final = insert_sql(1)


async def insert(connection: Connection, jobs: Sequence[Job], now: datetime) -> None:
    """Write the jobs alone; a transaction's own go with all that it writes last (kernel.db.tail)."""
    await connection.execute(_INSERT, *insert_arguments(jobs, now))
