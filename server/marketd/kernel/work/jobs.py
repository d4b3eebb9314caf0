"""Jobs and timers: work for later in our own table, claimed with SKIP LOCKED by any number of workers.

A transactional handler's effect and the end of its job are one commit, so it happens once. An outside handler (mail, a
provider) runs without a transaction and may run again after a crash; it must be idempotent at the other side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
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


async def insert(connection: Connection, jobs: Sequence[Job], now: datetime) -> None:
    """Write the jobs; called by the transactor before the commit."""
    await connection.execute(
        "INSERT INTO jobs (job_id, kind, payload, run_time, max_attempts, dedup_key, create_time)"
        " SELECT j.job_id, j.kind, j.payload::jsonb, j.run_time, j.max_attempts, j.dedup_key, $7"
        " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::text[])"
        "   AS j(job_id, kind, payload, run_time, max_attempts, dedup_key)"
        " ON CONFLICT (dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING",
        [new_id() for _ in jobs],
        [job.kind for job in jobs],
        [to_json(job.payload) for job in jobs],
        [job.run_time or now for job in jobs],
        [job.max_attempts for job in jobs],
        [job.dedup_key for job in jobs],
        now,
    )
