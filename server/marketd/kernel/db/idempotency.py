"""The idempotency store: the first answer to a (caller, method, request id), kept in the effect's own transaction.

An advisory lock taken without waiting tells a concurrent duplicate apart from a later one, so duplicates wait outside
the database and never hold a pooled connection (waiting on the unique index starves the pool).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import DateTime, Index, LargeBinary, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.refusals import RequestIdReused
from marketd.kernel.db.database import Base, Connection, Record


class IdempotencyKeyTable(Base):
    """One answered request; `fingerprint` is an HMAC of the request, `answer` the serialized response."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "expire_time"),)

    caller_key: Mapped[str] = mapped_column(Text, primary_key=True)
    method: Mapped[str] = mapped_column(Text, primary_key=True)
    request_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Claim:
    """What the store says of a key: `mine` to go on, or the stored `answer`; neither means another call runs it."""

    mine: bool
    answer: bytes | None


def _lock_number(key: OnceKey) -> int:
    digest = hashlib.blake2b(f"{key.caller_key}\0{key.method}\0{key.request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


_HELD: Final = "marketd.request_is_mine"
_FIND: Final = (
    "SELECT fingerprint, answer FROM idempotency_keys"
    " WHERE caller_key = $1 AND method = $2 AND request_id = $3 AND expire_time > $4"
)
_CLAIM: Final = (
    f"SELECT current_setting('{_HELD}')::boolean AS held, k.fingerprint, k.answer"  # noqa: S608 - constants
    f" FROM (SELECT) one LEFT JOIN ({_FIND}) k ON true"
)


def lock_sql(key: OnceKey) -> str:
    """SQL that takes the key's lock for the transaction unless another has it, and leaves for `claim` whether it did.

    It goes with BEGIN, so it is no round trip of its own, and is a statement of its own all the same: a snapshot from
    before the lock could miss an answer that was committed in between.
    """
    return f"SELECT set_config('{_HELD}', pg_try_advisory_xact_lock({_lock_number(key)})::text, true)"


async def claim(connection: Connection, key: OnceKey, now: datetime) -> Claim:
    """Take the key for this transaction, which began with `lock_sql`, or give the first answer.

    Raises RequestIdReused for another request.
    """
    row = await connection.fetchrow(_CLAIM, key.caller_key, key.method, UUID(key.request_id), now)
    if row is None:
        raise RuntimeError("a claim is one row")
    if row["fingerprint"] is None:
        return Claim(mine=row["held"], answer=None)
    return Claim(mine=False, answer=_checked(row, key))


async def find(connection: Connection, key: OnceKey, now: datetime) -> bytes | None:
    """The first answer, when there is one. Raises RequestIdReused for another request."""
    row = await connection.fetchrow(_FIND, key.caller_key, key.method, UUID(key.request_id), now)
    return None if row is None else _checked(row, key)


def _checked(row: Record, key: OnceKey) -> bytes:
    if row["fingerprint"] != key.fingerprint:
        raise RequestIdReused
    answer: bytes = row["answer"]
    return answer


STORE_ARGUMENTS: Final = 7


def store_sql(first: int) -> str:
    """SQL that keeps the answer of `store_arguments`, which are `$first` and those after it; an expired row of the same
    key is replaced.
    """
    places = ", ".join(f"${first + place}" for place in range(STORE_ARGUMENTS))
    return (
        "INSERT INTO idempotency_keys AS k"  # noqa: S608 - places
        " (caller_key, method, request_id, fingerprint, answer, create_time, expire_time)"
        f" VALUES ({places})"
        " ON CONFLICT (caller_key, method, request_id) DO UPDATE SET fingerprint = excluded.fingerprint,"
        " answer = excluded.answer, create_time = excluded.create_time, expire_time = excluded.expire_time"
        " WHERE k.expire_time <= excluded.create_time"
    )


def store_arguments(key: OnceKey, answer: bytes, now: datetime, keep: timedelta) -> list[object]:
    """What `store_sql` takes."""
    return [key.caller_key, key.method, UUID(key.request_id), key.fingerprint, answer, now, now + keep]


async def forget(connection: Connection, caller_key: str) -> None:
    """Drop all answers of one caller, for one who will never call again: they may hold what is personal."""
    await connection.execute("DELETE FROM idempotency_keys WHERE caller_key = $1", caller_key)
