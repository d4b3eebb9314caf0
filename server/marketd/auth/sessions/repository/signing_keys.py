"""Every SQL statement of signing keys."""

from __future__ import annotations

from datetime import datetime

from marketd.auth.sessions.values import SigningKey
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_KEY = Columns(SigningKey)
# Any fixed number; it keeps two servers from making the first signing key at once.
_KEYS_LOCK = 7_201_977_301


async def lock_all(connection: Connection) -> None:
    """Be the only one who makes keys until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _KEYS_LOCK)


async def list_all(connection: Connection) -> list[SigningKey]:
    """Every key, the oldest first."""
    return _KEY.values(await connection.fetch(f"SELECT {_KEY.sql} FROM signing_keys ORDER BY create_time, kid"))


async def insert(connection: Connection, key: SigningKey) -> None:
    """A new key."""
    await connection.execute(
        "INSERT INTO signing_keys (kid, state, public_key, sealed_private_key, create_time)"
        " VALUES ($1, $2, $3, $4, $5)",
        key.kid,
        key.state.value,
        key.public_key,
        key.sealed_private_key,
        key.create_time,
    )


async def stop_signing(connection: Connection, retire_time: datetime) -> None:
    """The key that signs verifies from now on, until the instant."""
    await connection.execute(
        "UPDATE signing_keys SET state = 'VERIFYING', retire_time = $1 WHERE state = 'SIGNING'", retire_time
    )


async def retire_all(connection: Connection, now: datetime) -> None:
    """No key that is here is good for anything any more."""
    await connection.execute(
        "UPDATE signing_keys SET state = 'RETIRED', retire_time = $1, sealed_private_key = '' WHERE state <> 'RETIRED'",
        now,
    )


async def retire_before(connection: Connection, now: datetime) -> int:
    """Retire the keys whose last token has ended, and forget their private halves."""
    tag = await connection.execute(
        "UPDATE signing_keys SET state = 'RETIRED', sealed_private_key = ''"
        " WHERE state = 'VERIFYING' AND retire_time <= $1",
        now,
    )
    return int(tag.rsplit(" ", 1)[-1])
