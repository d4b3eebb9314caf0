"""The SQL over signing keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from marketd.auth.sessions.model import KeyState
from marketd.kernel.db.database import Connection

# Any fixed number; it keeps two servers from making the first signing key at once.
_KEY_LOCK = 7_201_977_301


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A signing key as the table holds it."""

    kid: str
    state: KeyState
    public_key: bytes
    sealed_private_key: bytes
    create_time: datetime
    retire_time: datetime | None = None


class SigningKeyRepository:
    """Signing keys."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """Be the only one who makes keys until the transaction ends."""
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", _KEY_LOCK)

    async def list(self) -> list[KeyRow]:
        """Every key, the oldest first."""
        rows = await self._connection.fetch(
            "SELECT kid, state, public_key, sealed_private_key, create_time, retire_time FROM signing_keys"
            " ORDER BY create_time, kid"
        )
        return [
            KeyRow(
                row["kid"],
                KeyState(row["state"]),
                row["public_key"],
                row["sealed_private_key"],
                row["create_time"],
                row["retire_time"],
            )
            for row in rows
        ]

    async def insert(self, key: KeyRow) -> None:
        """A new key."""
        await self._connection.execute(
            "INSERT INTO signing_keys (kid, state, public_key, sealed_private_key, create_time)"
            " VALUES ($1, $2, $3, $4, $5)",
            key.kid,
            key.state.value,
            key.public_key,
            key.sealed_private_key,
            key.create_time,
        )

    async def stop_signing(self, retire_time: datetime) -> None:
        """The key that signs verifies from now on, until the instant."""
        await self._connection.execute(
            "UPDATE signing_keys SET state = 'VERIFYING', retire_time = $1 WHERE state = 'SIGNING'", retire_time
        )

    async def retire_all(self, now: datetime) -> None:
        """No key that is here is good for anything any more."""
        await self._connection.execute(
            "UPDATE signing_keys SET state = 'RETIRED', retire_time = $1, sealed_private_key = ''"
            " WHERE state <> 'RETIRED'",
            now,
        )

    async def retire_before(self, now: datetime) -> int:
        """Retire the keys whose last token has ended, and forget their private halves."""
        tag = await self._connection.execute(
            "UPDATE signing_keys SET state = 'RETIRED', sealed_private_key = ''"
            " WHERE state = 'VERIFYING' AND retire_time <= $1",
            now,
        )
        return int(tag.rsplit(" ", 1)[-1])
