"""Token buckets that all workers share, in a table of their own; what they limit is for those who take from them.

A bucket is one instant: when it will be full again (the generic cell rate algorithm). So a full bucket is the same as
no row, and a sweep deletes those. The table is unlogged: after a crash of the database every bucket is full, which
costs less than writing each taken token to disk twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import DateTime, Integer, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base, Connection
from marketd.kernel.db.uow import UnitOfWork

SWEEP_BATCH = 2_000


class RateBucketTable(Base):
    """A bucket that is not full."""

    __tablename__ = "rate_buckets"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    bucket_key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    full_time: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    granted: Mapped[int] = mapped_column(Integer, server_default=text("0"))


@dataclass(frozen=True, slots=True)
class Asked:
    """What one bucket is asked for. It refills by a token every `interval_seconds` and holds `burst` of them.

    `spent` tokens are gone whatever the bucket says; up to `wanted` more are taken as far as there are some.
    """

    bucket_key: bytes
    interval_seconds: float
    burst: float
    spent: float
    wanted: int


@dataclass(frozen=True, slots=True)
class Got:
    """What came of it; `wait_seconds`: until there is a token, 0.0 when there still is one."""

    granted: int
    wait_seconds: float


async def take_tokens(connection: Connection, asked: Sequence[Asked]) -> dict[bytes, Got]:
    """Take from the buckets in one statement, in the order of their keys so that no two takers wait for each other.

    asked: unique keys. The database's clock counts, which is the same for all.
    """
    asked = sorted(asked, key=lambda one: one.bucket_key)
    rows = await connection.fetch(
        "INSERT INTO rate_buckets AS b (bucket_key, full_time, granted)"
        " SELECT a.bucket_key, now() + make_interval(secs => (a.spent + g.granted) * a.interval_seconds), g.granted"
        "   FROM unnest($1::bytea[], $2::float8[], $3::float8[], $4::float8[], $5::int[])"
        "     AS a(bucket_key, interval_seconds, burst, spent, wanted),"
        "   LATERAL (SELECT greatest(0, least(a.wanted, floor(a.burst - a.spent)))::int AS granted) AS g"
        "   ORDER BY a.bucket_key"
        # The row is there: the same sum, on top of what it holds. excluded has no room for the bucket's figures, so
        # they are looked up by the key.
        " ON CONFLICT (bucket_key) DO UPDATE SET (full_time, granted) = ("
        "   SELECT l.full_time + make_interval(secs => g.granted * a.interval_seconds), g.granted"
        "   FROM unnest($1::bytea[], $2::float8[], $3::float8[], $4::float8[], $5::int[])"
        "     AS a(bucket_key, interval_seconds, burst, spent, wanted),"
        "   LATERAL (SELECT greatest(b.full_time, now()) + make_interval(secs => a.spent * a.interval_seconds)"
        "     AS full_time) AS l,"
        # A millionth of a token makes up for rounding in the division.
        "   LATERAL (SELECT greatest(0, least(a.wanted, floor("
        "     a.burst - extract(epoch FROM l.full_time - now()) / a.interval_seconds + 0.000001)))::int"
        "     AS granted) AS g"
        "   WHERE a.bucket_key = b.bucket_key)"
        " RETURNING bucket_key, granted, extract(epoch FROM full_time - now())::float8 AS behind",
        [one.bucket_key for one in asked],
        [one.interval_seconds for one in asked],
        [one.burst for one in asked],
        [one.spent for one in asked],
        [one.wanted for one in asked],
    )
    behind = {row["bucket_key"]: (row["granted"], row["behind"]) for row in rows}
    return {one.bucket_key: _got(one, *behind[one.bucket_key]) for one in asked}


def _got(asked: Asked, granted: int, behind_seconds: float) -> Got:
    wait = behind_seconds - (asked.burst - 1) * asked.interval_seconds
    return Got(granted, wait if wait > 1e-6 else 0.0)


async def sweep(uow: UnitOfWork) -> int:
    """Delete one batch of full buckets; how many rows went."""
    tag = await uow.connection.execute(
        "DELETE FROM rate_buckets WHERE bucket_key IN (SELECT bucket_key FROM rate_buckets"
        " WHERE full_time <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)",
        SWEEP_BATCH,
    )
    return int(tag.rsplit(" ", 1)[-1])
