"""The SQL over accounts as UserService needs it: many at once, lists, changes, and what is left of a deleted one."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import ACCOUNT, AccountRow, account_of
from marketd.kernel.call.caller import Role
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, where

# Any fixed number; it is held by whoever takes an admin away, until that is committed.
_ADMINS_LOCK = 7_201_977_203
# No text that begins with a prefix is greater than the prefix with this behind it.
_LAST_CHARACTER = "\U0010ffff"
# What belongs to the person and to nobody else.
_PERSONAL_TABLES = ("addresses", "account_roles", "verifications", "password_resets", "totp_factors", "recovery_codes")


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which accounts to list; what is empty or None leaves nothing out. `create_time_before` is exclusive."""

    states: tuple[AccountState, ...] = ()
    role: Role | None = None
    query: str = ""
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None


class UserRepository:
    """Accounts, for UserService."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def by_ids(self, user_ids: Sequence[UUID]) -> dict[UUID, AccountRow]:
        """Those of the accounts that there are."""
        rows = await self._connection.fetch(f"{ACCOUNT} WHERE a.user_id = ANY($1::uuid[])", list(user_ids))
        return {row["user_id"]: account_of(row) for row in rows}

    async def list(self, wanted: UserFilter, after: UUID | None, limit: int) -> list[AccountRow]:
        """Accounts in the reverse order of their ids, which are made in the order of time, after the last one shown."""
        join = ""
        conditions: list[str] = []
        arguments = Arguments()
        if wanted.role is not None:
            join = f" JOIN account_roles h ON h.user_id = a.user_id AND h.role = {arguments.add(wanted.role.value)}"
        if wanted.states:
            conditions.append(f"a.state = ANY({arguments.add([state.value for state in wanted.states])}::text[])")
        if wanted.query:
            first, last = arguments.add(wanted.query.lower()), arguments.add(wanted.query.lower() + _LAST_CHARACTER)
            # Each arm has an index; these operators use it whatever the collation, also in a prepared statement.
            begins = " OR ".join(
                f"({column} ~>=~ {first} AND {column} ~<~ {last})"
                for column in ("a.email", "a.phone", "lower(a.username)", "lower(a.full_name)")
            )
            conditions.append(f"({begins})")
        if wanted.create_time_from is not None:
            conditions.append(f"a.create_time >= {arguments.add(wanted.create_time_from)}")
        if wanted.create_time_before is not None:
            conditions.append(f"a.create_time < {arguments.add(wanted.create_time_before)}")
        if after is not None:
            conditions.append(f"a.user_id < {arguments.add(after)}")
        rows = await self._connection.fetch(
            f"{ACCOUNT}{join}{where(conditions)} ORDER BY a.user_id DESC LIMIT {arguments.add(limit)}", *arguments
        )
        return [account_of(row) for row in rows]

    async def update(
        self,
        user_id: UUID,
        now: datetime,
        *,
        email: str,
        username: str,
        phone: str,
        full_name: str,
        email_verified: bool,
        phone_verified: bool,
    ) -> None:
        """Write these; a taken name breaks a unique constraint. Codes that are out for a former contact are void.

        Their rows stay, since they count what was sent: or changing to and fro would send without end.
        """
        await self._connection.execute(
            "UPDATE accounts SET email = $2, username = nullif($3, ''), phone = nullif($4, ''), full_name = $5,"
            " email_verified = $6, phone_verified = $7, update_time = $8, version = version + 1 WHERE user_id = $1",
            user_id,
            email,
            username,
            phone,
            full_name,
            email_verified,
            phone_verified,
            now,
        )
        await self._connection.execute(
            "UPDATE verifications SET expire_time = $4 WHERE user_id = $1 AND expire_time > $4"
            " AND target IS DISTINCT FROM CASE channel WHEN 'EMAIL' THEN $2 ELSE nullif($3, '') END",
            user_id,
            email,
            phone,
            now,
        )

    async def anonymise(self, user_id: UUID, now: datetime) -> None:
        """Leave an account of nobody: the row stays for what refers to it, and its names are free for others."""
        for table in _PERSONAL_TABLES:
            await self._connection.execute(f"DELETE FROM {table} WHERE user_id = $1", user_id)  # noqa: S608 - constants
        await self._connection.execute("UPDATE sessions SET device_name = '', address = '' WHERE user_id = $1", user_id)
        await self._connection.execute(
            "UPDATE accounts SET email = $2, username = NULL, phone = NULL, full_name = '', password_hash = '',"
            " state = 'DELETED', email_verified = false, phone_verified = false, update_time = $3,"
            " version = version + 1 WHERE user_id = $1",
            user_id,
            # RFC 2606: nobody can ever have it. The id alone is known to others, who could register the address first.
            f"{user_id}.{secrets.token_hex(8)}@deleted.invalid",
            now,
        )

    async def lock_admins(self) -> None:
        """Be the only one who takes an admin away until the transaction ends."""
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", _ADMINS_LOCK)

    async def has_other_admin(self, user_id: UUID) -> bool:
        """Whether somebody else may run the marketplace."""
        found: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM account_roles r JOIN accounts a USING (user_id)"
            " WHERE r.role = 'ADMIN' AND a.state = 'ACTIVE' AND a.user_id <> $1)",
            user_id,
        )
        return found
