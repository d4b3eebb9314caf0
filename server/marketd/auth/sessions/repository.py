"""The SQL over sessions. Tokens appear here only as their SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import ROLES, roles_of
from marketd.kernel.call.caller import Role
from marketd.kernel.db.database import Connection, Record


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session, for judging a presented refresh token and for answering with a new pair."""

    session_id: UUID
    user_id: UUID
    account_state: AccountState
    token_hash: bytes
    previous_hash: bytes | None
    rotate_time: datetime | None
    last_seen_time: datetime
    expire_time: datetime
    revoke_time: datetime | None
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its owner sees it."""

    session_id: UUID
    device_name: str
    address: str
    create_time: datetime
    last_seen_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether an access token still holds, and as what."""

    account_state: AccountState
    revoke_time: datetime | None
    roles: frozenset[Role]


_SESSION = (
    "s.session_id, s.user_id, a.state AS account_state, s.token_hash, s.previous_hash, s.rotate_time,"
    f" s.last_seen_time, s.expire_time, s.revoke_time, {ROLES}"
)


def _session(row: Record | None) -> SessionRow | None:
    if row is None:
        return None
    return SessionRow(
        session_id=row["session_id"],
        user_id=row["user_id"],
        account_state=AccountState(row["account_state"]),
        token_hash=row["token_hash"],
        previous_hash=row["previous_hash"],
        rotate_time=row["rotate_time"],
        last_seen_time=row["last_seen_time"],
        expire_time=row["expire_time"],
        revoke_time=row["revoke_time"],
        roles=roles_of(row["roles"]),
    )


# The rotation is one row update that only one of many callers can win: whoever comes second waits for the row, finds
# another hash in it, and goes on to the grace.
_ROTATE = (
    "UPDATE sessions s SET token_hash = $3, previous_hash = $2, rotate_time = $4, last_seen_time = $4"  # noqa: S608 - constants
    " FROM accounts a WHERE s.session_id = $1 AND s.token_hash = $2 AND s.revoke_time IS NULL AND s.expire_time > $4"
    " AND s.last_seen_time > $5"
    f" AND a.user_id = s.user_id AND a.state = 'ACTIVE' RETURNING {_SESSION}"
)
_READ_SESSION = f"SELECT {_SESSION} FROM sessions s JOIN accounts a USING (user_id) WHERE s.session_id = $1"  # noqa: S608 - constants
_STANDING = (
    f"SELECT a.state AS account_state, s.revoke_time, {ROLES} FROM sessions s JOIN accounts a USING (user_id)"  # noqa: S608 - constants
    " WHERE s.session_id = $1 AND s.user_id = $2"
)


class SessionRepository:
    """Sessions; tokens appear here only as their SHA-256."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert(
        self,
        session_id: UUID,
        user_id: UUID,
        device_name: str,
        address: str,
        token_hash: bytes,
        now: datetime,
        expire_time: datetime,
    ) -> None:
        """A new session with its first token."""
        await self._connection.execute(
            "INSERT INTO sessions (session_id, user_id, device_name, address, token_hash, create_time,"
            " last_seen_time, expire_time) VALUES ($1, $2, $3, $4, $5, $6, $6, $7)",
            session_id,
            user_id,
            device_name,
            address,
            token_hash,
            now,
            expire_time,
        )

    async def rotate(
        self, session_id: UUID, presented: bytes, successor: bytes, now: datetime, seen_after: datetime
    ) -> SessionRow | None:
        """Replace the presented token by its successor; None when it is not the current one or may not be used."""
        return _session(await self._connection.fetchrow(_ROTATE, session_id, presented, successor, now, seen_after))

    async def by_id(self, session_id: UUID) -> SessionRow | None:
        """The session as it is committed now."""
        return _session(await self._connection.fetchrow(_READ_SESSION, session_id))

    async def standing(self, session_id: UUID, user_id: UUID) -> Standing | None:
        """What the tokens of the session are worth now."""
        row = await self._connection.fetchrow(_STANDING, session_id, user_id)
        if row is None:
            return None
        return Standing(AccountState(row["account_state"]), row["revoke_time"], roles_of(row["roles"]))

    async def belongs(self, session_id: UUID, user_id: UUID) -> bool:
        """Whether the account has, or had, this session."""
        value: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE session_id = $1 AND user_id = $2)", session_id, user_id
        )
        return value

    async def knows(self, user_id: UUID, device_name: str, address: str) -> bool:
        """Whether the account signed in before with a device of this name at this address, as far as is remembered."""
        value: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 AND device_name = $2 AND address = $3)",
            user_id,
            device_name,
            address,
        )
        return value

    async def list_open(
        self, user_id: UUID, before: UUID | None, now: datetime, seen_after: datetime, limit: int
    ) -> list[SessionView]:
        """The account's sessions that have not ended, the latest first, from the one after `before` on."""
        rows = await self._connection.fetch(
            "SELECT session_id, device_name, address, create_time, last_seen_time, expire_time FROM sessions"
            " WHERE user_id = $1 AND revoke_time IS NULL AND expire_time > $3 AND last_seen_time > $4"
            " AND ($2::uuid IS NULL OR session_id < $2) ORDER BY session_id DESC LIMIT $5",
            user_id,
            before,
            now,
            seen_after,
            limit,
        )
        return [SessionView(**dict(row.items())) for row in rows]

    async def revoke(self, session_id: UUID, now: datetime) -> UUID | None:
        """End the session and return its account; None when it had ended before."""
        value: UUID | None = await self._connection.fetchval(
            "UPDATE sessions SET revoke_time = $2 WHERE session_id = $1 AND revoke_time IS NULL RETURNING user_id",
            session_id,
            now,
        )
        return value

    async def revoke_oldest(self, user_id: UUID, now: datetime, keep: int) -> list[UUID]:
        """End all open sessions of the account but the `keep` latest, and return those that were."""
        rows = await self._connection.fetch(
            "UPDATE sessions SET revoke_time = $2 WHERE session_id IN (SELECT session_id FROM sessions"
            " WHERE user_id = $1 AND revoke_time IS NULL AND expire_time > $2 ORDER BY session_id DESC OFFSET $3)"
            " RETURNING session_id",
            user_id,
            now,
            keep,
        )
        return [row["session_id"] for row in rows]

    async def revoke_all(self, user_id: UUID, now: datetime, *, but: UUID | None = None) -> list[UUID]:
        """End every session of the account but one, locked in id order, and return those that were open."""
        rows = await self._connection.fetch(
            "WITH open AS (SELECT session_id FROM sessions WHERE user_id = $1 AND revoke_time IS NULL"
            " AND session_id IS DISTINCT FROM $3 ORDER BY session_id FOR UPDATE)"
            " UPDATE sessions s SET revoke_time = $2 FROM open WHERE s.session_id = open.session_id"
            " RETURNING s.session_id",
            user_id,
            now,
            but,
        )
        return [row["session_id"] for row in rows]
