"""The SQL over second factors and recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from marketd.kernel.db.database import Connection


@dataclass(frozen=True, slots=True)
class FactorRow:
    """An account's authenticator; it counts once it is confirmed."""

    sealed_secret: bytes = field(repr=False)
    last_step: int
    is_confirmed: bool


class FactorRepository:
    """Second factors and recovery codes. Lock the account first: whoever reads here is about to write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def by_account(self, user_id: UUID) -> FactorRow | None:
        """The account's authenticator, confirmed or not."""
        row = await self._connection.fetchrow(
            "SELECT sealed_secret, last_step, confirm_time FROM totp_factors WHERE user_id = $1", user_id
        )
        if row is None:
            return None
        return FactorRow(row["sealed_secret"], row["last_step"], row["confirm_time"] is not None)

    async def put(self, user_id: UUID, sealed_secret: bytes, now: datetime) -> None:
        """An authenticator that waits to be confirmed, in place of one that waited before."""
        await self._connection.execute(
            "INSERT INTO totp_factors AS f (user_id, sealed_secret, create_time) VALUES ($1, $2, $3)"
            " ON CONFLICT (user_id) DO UPDATE SET sealed_secret = $2, create_time = $3, last_step = 0"
            " WHERE f.confirm_time IS NULL",
            user_id,
            sealed_secret,
            now,
        )

    async def confirm(self, user_id: UUID, now: datetime) -> None:
        """From now on it counts."""
        await self._connection.execute("UPDATE totp_factors SET confirm_time = $2 WHERE user_id = $1", user_id, now)

    async def spend_step(self, user_id: UUID, step: int) -> bool:
        """Use a time step; False when it, or a later one, was used before."""
        tag = await self._connection.execute(
            "UPDATE totp_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2", user_id, step
        )
        return tag == "UPDATE 1"

    async def add_recovery_codes(self, user_id: UUID, hashes: Sequence[bytes]) -> None:
        """Recovery codes, as their hashes."""
        await self._connection.execute(
            "INSERT INTO recovery_codes (user_id, code_hash) SELECT $1, unnest($2::bytea[])",
            user_id,
            list(hashes),
        )

    async def spend_recovery_code(self, user_id: UUID, code_hash: bytes) -> bool:
        """Use a recovery code; False when there is no such code (any more)."""
        tag = await self._connection.execute(
            "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2", user_id, code_hash
        )
        return tag == "DELETE 1"

    async def delete(self, user_id: UUID) -> None:
        """The authenticator and the recovery codes."""
        await self._connection.execute("DELETE FROM recovery_codes WHERE user_id = $1", user_id)
        await self._connection.execute("DELETE FROM totp_factors WHERE user_id = $1", user_id)
