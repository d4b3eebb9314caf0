"""The SQL over signing keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from marketd.auth.model import KeyState
from marketd.kernel.database import Connection

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
            "SELECT kid, state, public_key, sealed_private_key, create_time FROM signing_keys ORDER BY create_time, kid"
        )
        return [
            KeyRow(row["kid"], KeyState(row["state"]), row["public_key"], row["sealed_private_key"], row["create_time"])
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
