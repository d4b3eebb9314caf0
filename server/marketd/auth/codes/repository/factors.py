"""Every SQL statement of second factors and their recovery codes.

Lock the account first: whoever reads here is about to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.auth.codes.values import Authenticator
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_AUTHENTICATOR = Columns(Authenticator, expressions={"is_confirmed": "confirm_time IS NOT NULL"})
HAS_FACTOR = "EXISTS (SELECT FROM totp_factors f WHERE f.user_id = a.user_id AND f.confirm_time IS NOT NULL)"
"""Whether the account `a` has a second factor in use."""


async def read(connection: Connection, user_id: UUID) -> Authenticator | None:
    """The account's authenticator, confirmed or not."""
    row = await connection.fetchrow(f"SELECT {_AUTHENTICATOR.sql} FROM totp_factors WHERE user_id = $1", user_id)
    return _AUTHENTICATOR.optional(row)


async def put(connection: Connection, user_id: UUID, sealed_secret: bytes, now: datetime) -> None:
    """An authenticator that waits to be confirmed, in place of one that waited before."""
    await connection.execute(
        "INSERT INTO totp_factors AS f (user_id, sealed_secret, create_time) VALUES ($1, $2, $3)"
        " ON CONFLICT (user_id) DO UPDATE SET sealed_secret = $2, create_time = $3, last_step = 0"
        " WHERE f.confirm_time IS NULL",
        user_id,
        sealed_secret,
        now,
    )


async def confirm(connection: Connection, user_id: UUID, now: datetime) -> None:
    """From now on it counts."""
    await connection.execute("UPDATE totp_factors SET confirm_time = $2 WHERE user_id = $1", user_id, now)


async def spend_step(connection: Connection, user_id: UUID, step: int) -> bool:
    """Use a time step; False when it, or a later one, was used before."""
    tag = await connection.execute(
        "UPDATE totp_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2", user_id, step
    )
    return tag == "UPDATE 1"


async def add_recovery_codes(connection: Connection, user_id: UUID, hashes: Sequence[bytes]) -> None:
    """Recovery codes, as their keyed hashes. hashes: 10, unique."""
    await connection.execute(
        "INSERT INTO recovery_codes (user_id, code_hash) SELECT $1, unnest($2::bytea[])", user_id, list(hashes)
    )


async def spend_recovery_code(connection: Connection, user_id: UUID, code_hash: bytes) -> bool:
    """Use a recovery code; False when there is no such code (any more)."""
    tag = await connection.execute(
        "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2", user_id, code_hash
    )
    return tag == "DELETE 1"


async def delete_since(connection: Connection, user_id: UUID, since: datetime) -> bool:
    """An authenticator that waits or was confirmed at the instant or later, with its codes; whether it was in use."""
    was_confirmed: bool | None = await connection.fetchval(
        "DELETE FROM totp_factors WHERE user_id = $1 AND (confirm_time IS NULL OR confirm_time >= $2)"
        " RETURNING confirm_time IS NOT NULL",
        user_id,
        since,
    )
    if was_confirmed:
        await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1", user_id)
    return bool(was_confirmed)


async def delete_all(connection: Connection, user_id: UUID) -> None:
    """The authenticator and the recovery codes."""
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM totp_factors WHERE user_id = $1", user_id)
