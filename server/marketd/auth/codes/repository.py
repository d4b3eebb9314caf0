"""The SQL over verification codes and password resets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from marketd.auth.codes.credentials import Channel
from marketd.kernel.db.database import Connection


@dataclass(frozen=True, slots=True)
class CodeRow:
    """The code that is out for a channel, and to which address or phone it went."""

    target: str
    code_hash: bytes = field(repr=False)


class CodeRepository:
    """Verification codes: one is out for each channel of an account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(
        self,
        user_id: UUID,
        channel: Channel,
        target: str,
        code_hash: bytes,
        now: datetime,
        expire_time: datetime,
        window: timedelta,
        limit: int,
    ) -> bool:
        """A new code in place of the one before; False when `limit` were sent within the window that runs."""
        sent = await self._connection.fetchval(
            "INSERT INTO verifications AS v (user_id, channel, target, code_hash, expire_time, send_count,"
            " window_time) VALUES ($1, $2, $3, $4, $6, 1, $5) ON CONFLICT (user_id, channel) DO UPDATE SET"
            " target = $3, code_hash = $4, expire_time = $6, tries = 0,"
            " send_count = CASE WHEN v.window_time <= $5 - $7::interval THEN 1 ELSE v.send_count + 1 END,"
            " window_time = CASE WHEN v.window_time <= $5 - $7::interval THEN $5 ELSE v.window_time END"
            " WHERE v.send_count < $8 OR v.window_time <= $5 - $7::interval RETURNING send_count",
            user_id,
            channel.value,
            target,
            code_hash,
            now,
            expire_time,
            window,
            limit,
        )
        return sent is not None

    async def window_time(self, user_id: UUID, channel: Channel) -> datetime | None:
        """When the window began in which codes are counted."""
        value: datetime | None = await self._connection.fetchval(
            "SELECT window_time FROM verifications WHERE user_id = $1 AND channel = $2", user_id, channel.value
        )
        return value

    async def take_try(self, user_id: UUID, channel: Channel, now: datetime, limit: int) -> CodeRow | None:
        """Count a try and give what it is held against; None when there is no code that may be tried."""
        row = await self._connection.fetchrow(
            "UPDATE verifications SET tries = tries + 1"
            " WHERE user_id = $1 AND channel = $2 AND expire_time > $3 AND tries < $4 RETURNING target, code_hash",
            user_id,
            channel.value,
            now,
            limit,
        )
        return None if row is None else CodeRow(row["target"], row["code_hash"])

    async def spend(self, user_id: UUID, channel: Channel, now: datetime) -> None:
        """The code is used; the row stays, since it counts what was sent."""
        await self._connection.execute(
            "UPDATE verifications SET expire_time = $3 WHERE user_id = $1 AND channel = $2",
            user_id,
            channel.value,
            now,
        )

    async def mark_verified(self, user_id: UUID, channel: Channel, now: datetime) -> None:
        """Note on the account that the channel is its owner's."""
        column = "email_verified" if channel is Channel.EMAIL else "phone_verified"
        await self._connection.execute(
            f"UPDATE accounts SET {column} = true, update_time = $2, version = version + 1 WHERE user_id = $1",  # noqa: S608 - one of two constants
            user_id,
            now,
        )


class ResetRepository:
    """Password resets: a few tokens may be out for an account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def may_send(self, user_id: UUID, now: datetime, pause: timedelta, limit: int) -> bool:
        """Whether another token may go out: fewer than `limit` are, and the last one is older than the pause.

        Forgets those whose time is over. The account is locked by the caller.
        """
        await self._connection.execute(
            "DELETE FROM password_resets WHERE user_id = $1 AND expire_time <= $2", user_id, now
        )
        may: bool = await self._connection.fetchval(
            "SELECT count(*) < $2 AND coalesce(max(create_time) <= $3, true) FROM password_resets WHERE user_id = $1",
            user_id,
            limit,
            now - pause,
        )
        return may

    async def insert(self, user_id: UUID, token_hash: bytes, now: datetime, expire_time: datetime) -> None:
        """A new token beside those that are out."""
        await self._connection.execute(
            "INSERT INTO password_resets (token_hash, user_id, create_time, expire_time) VALUES ($1, $2, $3, $4)",
            token_hash,
            user_id,
            now,
            expire_time,
        )

    async def account_of(self, token_hash: bytes, now: datetime) -> UUID | None:
        """Whose token it is; None when it is unknown, used or too old."""
        value: UUID | None = await self._connection.fetchval(
            "SELECT user_id FROM password_resets WHERE token_hash = $1 AND expire_time > $2", token_hash, now
        )
        return value

    async def delete(self, user_id: UUID) -> None:
        """Every token that is out for the account."""
        await self._connection.execute("DELETE FROM password_resets WHERE user_id = $1", user_id)
