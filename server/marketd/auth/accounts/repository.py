"""The SQL over accounts and their roles. Sessions and keys have repositories of their own; access changes and the audit
log keep their few statements beside them.

All of it runs on the asyncpg connection, so that bare and mapped units of work can call it alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.kernel.call.caller import Role
from marketd.kernel.db.database import Connection, Record


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account with its roles."""

    user_id: UUID
    email: str
    username: str
    phone: str
    full_name: str
    password_hash: str = field(repr=False)
    state: AccountState
    email_verified: bool
    phone_verified: bool
    create_time: datetime
    update_time: datetime
    version: int
    roles: frozenset[Role]
    totp_enabled: bool


ROLES = "ARRAY(SELECT r.role FROM account_roles r WHERE r.user_id = a.user_id) AS roles"
"""The select item that gathers the roles of the account `a`."""
_TOTP = (
    "EXISTS (SELECT 1 FROM totp_factors f WHERE f.user_id = a.user_id AND f.confirm_time IS NOT NULL) AS totp_enabled"
)
ACCOUNT = (
    "SELECT a.user_id, a.email, a.username, a.phone, a.full_name, a.password_hash, a.state, a.email_verified,"  # noqa: S608 - constants
    f" a.phone_verified, a.create_time, a.update_time, a.version, {ROLES}, {_TOTP} FROM accounts a"
)
"""Selects accounts `a`; conditions come after it."""


def roles_of(names: list[str]) -> frozenset[Role]:
    """The roles in the column that ROLES selects."""
    return frozenset(map(Role, names))


def account_of(row: Record) -> AccountRow:
    """The row of a statement that begins with ACCOUNT."""
    return AccountRow(
        user_id=row["user_id"],
        email=row["email"],
        username=row["username"] or "",
        phone=row["phone"] or "",
        full_name=row["full_name"],
        password_hash=row["password_hash"],
        state=AccountState(row["state"]),
        email_verified=row["email_verified"],
        phone_verified=row["phone_verified"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        version=row["version"],
        roles=roles_of(row["roles"]),
        totp_enabled=row["totp_enabled"],
    )


def _account(row: Record | None) -> AccountRow | None:
    return None if row is None else account_of(row)


class AccountRepository:
    """Accounts and their roles."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert(
        self,
        user_id: UUID,
        email: str,
        username: str,
        phone: str,
        full_name: str,
        password_hash: str,
        now: datetime,
    ) -> None:
        """A new active account; empty username and phone mean none. A taken name breaks a unique constraint."""
        await self._connection.execute(
            "INSERT INTO accounts (user_id, email, username, phone, full_name, password_hash, state, create_time,"
            " update_time) VALUES ($1, $2, nullif($3, ''), nullif($4, ''), $5, $6, 'ACTIVE', $7, $7)",
            user_id,
            email,
            username,
            phone,
            full_name,
            password_hash,
            now,
        )

    async def by_id(self, user_id: UUID) -> AccountRow | None:
        """The account with this id."""
        return _account(await self._connection.fetchrow(f"{ACCOUNT} WHERE a.user_id = $1", user_id))

    async def by_login(self, login: str) -> AccountRow | None:
        """The account with this e-mail address, phone or username; which of them it is, its first letters tell."""
        if "@" in login:
            where, value = "a.email = $1", login.lower()
        elif login.startswith("+"):
            where, value = "a.phone = $1", login
        else:
            where, value = "lower(a.username) = $1", login.lower()
        return _account(await self._connection.fetchrow(f"{ACCOUNT} WHERE {where}", value))

    async def lock(self, user_id: UUID) -> AccountRow | None:
        """The account, locked until the transaction ends."""
        row = await self._connection.fetchrow(f"{ACCOUNT} WHERE a.user_id = $1 FOR UPDATE OF a", user_id)
        return _account(row)

    async def set_password_hash(self, user_id: UUID, password_hash: str, now: datetime) -> None:
        """Another hash."""
        await self._connection.execute(
            "UPDATE accounts SET password_hash = $2, update_time = $3, version = version + 1 WHERE user_id = $1",
            user_id,
            password_hash,
            now,
        )

    async def upgrade_hash(self, user_id: UUID, old: str, new: str) -> None:
        """The same password at another cost, unless it was changed in between."""
        await self._connection.execute(
            "UPDATE accounts SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2", user_id, old, new
        )

    async def set_state(self, user_id: UUID, before: AccountState, after: AccountState, now: datetime) -> bool:
        """Move from one state to another; False when it is not in the first."""
        tag = await self._connection.execute(
            "UPDATE accounts SET state = $3, update_time = $4, version = version + 1 WHERE user_id = $1 AND state = $2",
            user_id,
            before.value,
            after.value,
            now,
        )
        return tag == "UPDATE 1"

    async def add_role(self, user_id: UUID, role: Role, now: datetime) -> bool:
        """Give the role; False when the account has it already."""
        tag = await self._connection.execute(
            "INSERT INTO account_roles (user_id, role, create_time) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            user_id,
            role.value,
            now,
        )
        return tag == "INSERT 0 1"

    async def remove_role(self, user_id: UUID, role: Role) -> bool:
        """Take the role; False when the account does not have it."""
        tag = await self._connection.execute(
            "DELETE FROM account_roles WHERE user_id = $1 AND role = $2", user_id, role.value
        )
        return tag == "DELETE 1"

    async def touch(self, user_id: UUID, now: datetime) -> None:
        """Note that the account changed."""
        await self._connection.execute(
            "UPDATE accounts SET update_time = $2, version = version + 1 WHERE user_id = $1", user_id, now
        )
