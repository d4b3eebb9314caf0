"""Every SQL statement of sessions. Tokens appear here only as their SHA-256."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.repository import ROLES
from marketd.auth.sessions.values import MAX_ADDRESSES, MAX_GENERATIONS, Session, Standing, TokenFamily
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_OF_ACCOUNT = {"account_state": "a.state", "roles": ROLES}
_SESSION = Columns(Session)
_FAMILY = Columns(TokenFamily, table="s", expressions=_OF_ACCOUNT)
_STANDING = Columns(Standing, table="s", expressions=_OF_ACCOUNT)
# The rotation is one row update that only one of many callers can win: whoever comes second waits for the row, finds
# another hash in it, and goes on to the grace. Times older than a grace ($6) go with the first rotation after it.
_ROTATE = (
    "UPDATE sessions s SET token_hash = $3, refresh_time = $4, spend_times = CASE WHEN s.spend_times[1] >= $6"
    f" THEN array_prepend($4::timestamptz, s.spend_times[1:{MAX_GENERATIONS - 1}]) ELSE ARRAY[$4::timestamptz] END"
    " FROM accounts a WHERE s.session_id = $1 AND s.token_hash = $2 AND s.revoke_time IS NULL AND s.expire_time > $4"
    f" AND s.refresh_time > $5 AND a.user_id = s.user_id AND a.state = 'ACTIVE' RETURNING {_FAMILY.sql}"
)
_READ_FAMILY = f"SELECT {_FAMILY.sql} FROM sessions s JOIN accounts a USING (user_id) WHERE s.session_id = $1"
_READ_STANDING = (
    f"SELECT {_STANDING.sql} FROM sessions s JOIN accounts a USING (user_id) WHERE s.session_id = $1 AND s.user_id = $2"
)


async def insert(
    connection: Connection,
    session_id: UUID,
    user_id: UUID,
    device_name: str,
    address: str,
    token_hash: bytes,
    now: datetime,
    expire_time: datetime,
    *,
    second_factor: bool,
) -> None:
    """A new session with its first token."""
    await connection.execute(
        "INSERT INTO sessions (session_id, user_id, device_name, address, token_hash, create_time,"
        " refresh_time, expire_time, second_factor) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)",
        session_id,
        user_id,
        device_name,
        address,
        token_hash,
        now,
        expire_time,
        second_factor,
    )


async def rotate(
    connection: Connection,
    session_id: UUID,
    presented: bytes,
    successor: bytes,
    now: datetime,
    seen_after: datetime,
    spent_since: datetime,
) -> TokenFamily | None:
    """Replace the presented token by its successor; None when it is not the current one or may not be used.

    Remembers when it was spent, beside those spent before it when the last of them was after `spent_since`.
    """
    row = await connection.fetchrow(_ROTATE, session_id, presented, successor, now, seen_after, spent_since)
    return _FAMILY.optional(row)


async def read_family(connection: Connection, session_id: UUID) -> TokenFamily | None:
    """The session's tokens as they are committed now."""
    return _FAMILY.optional(await connection.fetchrow(_READ_FAMILY, session_id))


async def read_standing(connection: Connection, session_id: UUID, user_id: UUID) -> Standing | None:
    """What the tokens of the session are worth now."""
    return _STANDING.optional(await connection.fetchrow(_READ_STANDING, session_id, user_id))


async def belongs(connection: Connection, session_id: UUID, user_id: UUID) -> bool:
    """Whether the account has, or had, this session."""
    value: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM sessions WHERE session_id = $1 AND user_id = $2)", session_id, user_id
    )
    return value


async def addresses_of_device(connection: Connection, user_id: UUID, device_name: str) -> list[str]:
    """From where the account signed in with a device of this name, the latest first, as far as is remembered.

    At most MAX_ADDRESSES; none for a device without a name.
    """
    rows = await connection.fetch(
        "SELECT address FROM sessions WHERE user_id = $1 AND device_name = $2 AND device_name <> ''"
        f" GROUP BY address ORDER BY max(create_time) DESC LIMIT {MAX_ADDRESSES}",
        user_id,
        device_name,
    )
    return [row["address"] for row in rows]


async def is_known_origin(connection: Connection, user_id: UUID, device_name: str, address: str) -> bool:
    """Whether the account signed in before with a device of this name at this address, as far as is remembered."""
    value: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM sessions WHERE user_id = $1 AND device_name = $2 AND address = $3)",
        user_id,
        device_name,
        address,
    )
    return value


async def forget_origins(connection: Connection, user_id: UUID) -> None:
    """Forget from where and with what the account signed in."""
    await connection.execute("UPDATE sessions SET device_name = '', address = '' WHERE user_id = $1", user_id)


async def list_open(
    connection: Connection,
    user_id: UUID,
    after: UUID | None,
    now: datetime,
    used_after: datetime,
    limit: int,
    *,
    descending: bool,
) -> list[Session]:
    """The account's sessions that have not ended, after the last one shown, in the order of their ids."""
    past, way = ("<", "DESC") if descending else (">", "ASC")
    rows = await connection.fetch(
        f"SELECT {_SESSION.sql} FROM sessions"
        " WHERE user_id = $1 AND revoke_time IS NULL AND expire_time > $3 AND refresh_time > $4"
        f" AND ($2::uuid IS NULL OR session_id {past} $2) ORDER BY session_id {way} LIMIT $5",
        user_id,
        after,
        now,
        used_after,
        limit,
    )
    return _SESSION.values(rows)


async def revoke(connection: Connection, session_id: UUID, now: datetime) -> UUID | None:
    """End the session and return its account; None when it had ended before."""
    value: UUID | None = await connection.fetchval(
        "UPDATE sessions SET revoke_time = $2 WHERE session_id = $1 AND revoke_time IS NULL RETURNING user_id",
        session_id,
        now,
    )
    return value


async def revoke_oldest(connection: Connection, user_id: UUID, now: datetime, keep: int) -> list[UUID]:
    """End all open sessions of the account but the `keep` latest, and return those that were."""
    rows = await connection.fetch(
        "UPDATE sessions SET revoke_time = $2 WHERE session_id IN (SELECT session_id FROM sessions"
        " WHERE user_id = $1 AND revoke_time IS NULL AND expire_time > $2 ORDER BY session_id DESC OFFSET $3)"
        " RETURNING session_id",
        user_id,
        now,
        keep,
    )
    return [row["session_id"] for row in rows]


async def revoke_all(connection: Connection, user_id: UUID, now: datetime, *, but: UUID | None = None) -> list[UUID]:
    """End every session of the account but one, locked in id order, and return those that were open."""
    rows = await connection.fetch(
        "WITH open AS (SELECT session_id FROM sessions WHERE user_id = $1 AND revoke_time IS NULL"
        " AND session_id IS DISTINCT FROM $3 ORDER BY session_id FOR UPDATE)"
        " UPDATE sessions s SET revoke_time = $2 FROM open WHERE s.session_id = open.session_id"
        " RETURNING s.session_id",
        user_id,
        now,
        but,
    )
    return [row["session_id"] for row in rows]
