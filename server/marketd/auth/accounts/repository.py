"""Every SQL statement of accounts and their roles."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.values import Account, UserFilter
from marketd.auth.codes.repository.factors import HAS_FACTOR
from marketd.kernel.call.caller import Role
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns, where

# ruff: noqa: S608 - every interpolated part is one of the constants here
ROLES = "ARRAY(SELECT r.role FROM account_roles r WHERE r.user_id = a.user_id)"
"""The roles of the account `a`."""
_ACCOUNT = Columns(
    Account,
    table="a",
    expressions={
        "username": "coalesce(a.username, '')",
        "phone": "coalesce(a.phone, '')",
        "language_code": "coalesce(a.language_code, '')",
        "roles": ROLES,
        "totp_enabled": HAS_FACTOR,
    },
)
_SELECT = f"SELECT {_ACCOUNT.sql} FROM accounts a"
_ORDERS = {"create_time": "a.user_id", "email": "a.email"}
# Any fixed number; it is held by whoever takes an admin away, until that is committed.
_ADMINS_LOCK = 7_201_977_203
# No text that begins with a prefix is greater than the prefix with this behind it.
_LAST_CHARACTER = "\U0010ffff"


async def insert(
    connection: Connection,
    user_id: UUID,
    email: str,
    username: str,
    phone: str,
    full_name: str,
    language_code: str,
    password_hash: str,
    now: datetime,
) -> None:
    """A new active account; empty username, phone and language mean none. A taken name breaks a unique constraint."""
    await connection.execute(
        "INSERT INTO accounts (user_id, email, username, phone, full_name, language_code, password_hash, state,"
        " create_time, update_time) VALUES ($1, $2, nullif($3, ''), nullif($4, ''), $5, nullif($6, ''), $7, 'ACTIVE',"
        " $8, $8)",
        user_id,
        email,
        username,
        phone,
        full_name,
        language_code,
        password_hash,
        now,
    )


async def read(connection: Connection, user_id: UUID) -> Account | None:
    """The account with this id."""
    return _ACCOUNT.optional(await connection.fetchrow(f"{_SELECT} WHERE a.user_id = $1", user_id))


async def read_many(connection: Connection, user_ids: Sequence[UUID]) -> list[Account]:
    """Those of the accounts that there are, in any order. user_ids: 0..100."""
    return _ACCOUNT.values(await connection.fetch(f"{_SELECT} WHERE a.user_id = ANY($1::uuid[])", list(user_ids)))


async def read_by_login(connection: Connection, login: str) -> Account | None:
    """The account with this e-mail address, verified phone or username; which it is, the first letters tell."""
    if "@" in login:
        row = await connection.fetchrow(f"{_SELECT} WHERE a.email = $1", login.lower())
    elif login.startswith("+"):
        row = await connection.fetchrow(f"{_SELECT} WHERE a.phone = $1 AND a.phone_verified", login)
    else:
        row = await connection.fetchrow(f"{_SELECT} WHERE lower(a.username) = $1", login.lower())
    return _ACCOUNT.optional(row)


async def lock(connection: Connection, user_id: UUID) -> Account | None:
    """The account, locked until the transaction ends."""
    return _ACCOUNT.optional(await connection.fetchrow(f"{_SELECT} WHERE a.user_id = $1 FOR UPDATE OF a", user_id))


def hold_active_sql(user_id: str) -> str:
    """SQL that keeps the active account with this id (an argument) from being locked by whoever ends it.

    It hinders nobody who only changes it. No row for an account that is not active.
    """
    return f"SELECT h.user_id FROM accounts h WHERE h.user_id = {user_id} AND h.state = 'ACTIVE' FOR KEY SHARE"


# Every kind of space parts words: forms send no-break ones, and names in Japan have wide ones. Written out, because
# what \s means depends on the database's locale.
_FIRST_WORD = r"[^ \t\n\r\u0085\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]+"


def first_name_sql(user_id: str) -> str:
    """SQL that gives the first word of the name of the account whose id `user_id` (a column) names; NULL when it is
    deleted.
    """
    return f"(SELECT substring(n.full_name FROM '{_FIRST_WORD}') FROM accounts n WHERE n.user_id = {user_id})"


async def hold_active(connection: Connection, user_id: UUID) -> bool:
    """Do that until the transaction ends; False for an account that is not active."""
    return await connection.fetchval(hold_active_sql("$1"), user_id) is not None


async def list_page(connection: Connection, wanted: UserFilter, after: UUID | str | None, limit: int) -> list[Account]:
    """Accounts after the last one shown, by their e-mail addresses or by their ids, which are made in that of time.

    after: the address or the id of that one.
    """
    conditions: list[str] = []
    arguments = Arguments()
    if wanted.roles:
        roles = arguments.add([role.value for role in wanted.roles])
        conditions.append(
            f"EXISTS (SELECT FROM account_roles h WHERE h.user_id = a.user_id AND h.role = ANY({roles}::text[]))"
        )
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
    key = _ORDERS[wanted.order]
    past, way = ("<", "DESC") if wanted.descending else (">", "ASC")
    if after is not None:
        conditions.append(f"{key} {past} {arguments.add(after)}")
    size = arguments.add(limit)
    rows = await connection.fetch(f"{_SELECT}{where(conditions)} ORDER BY {key} {way} LIMIT {size}", *arguments)
    return _ACCOUNT.values(rows)


async def has_email(connection: Connection, email: str) -> bool:
    """Whether an account has the address. email: in lower case."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM accounts WHERE email = $1)", email)
    return found


async def owner_of_phone(connection: Connection, phone: str) -> UUID | None:
    """The account that has verified the phone."""
    value: UUID | None = await connection.fetchval(
        "SELECT user_id FROM accounts WHERE phone = $1 AND phone_verified", phone
    )
    return value


async def keep_username(
    connection: Connection, user_id: UUID, username: str, now: datetime, expire_time: datetime
) -> None:
    """Keep a username that the account has given up, unless another one is kept for it. username: in lower case."""
    await connection.execute(
        "INSERT INTO former_usernames AS f (user_id, username, expire_time) VALUES ($1, $2, $4)"
        " ON CONFLICT (user_id) DO UPDATE SET username = $2, expire_time = $4"
        " WHERE f.expire_time <= $3 OR f.username = $2",
        user_id,
        username,
        now,
        expire_time,
    )


async def is_username_kept(connection: Connection, user_id: UUID, username: str, now: datetime) -> bool:
    """Whether the username is kept for another account. username: in lower case."""
    kept: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM former_usernames WHERE username = $1 AND expire_time > $2 AND user_id <> $3)",
        username,
        now,
        user_id,
    )
    return kept


async def forget_username(connection: Connection, user_id: UUID) -> None:
    """Keep no username for the account."""
    await connection.execute("DELETE FROM former_usernames WHERE user_id = $1", user_id)


async def save(connection: Connection, account: Account, now: datetime) -> None:
    """Write names, contacts, language and what is verified of a locked account.

    A taken name breaks a unique constraint.
    """
    await connection.execute(
        "UPDATE accounts SET email = $2, username = nullif($3, ''), phone = nullif($4, ''), full_name = $5,"
        " language_code = nullif($6, ''), email_verified = $7, phone_verified = $8, update_time = $9,"
        " version = version + 1 WHERE user_id = $1",
        account.user_id,
        account.email,
        account.username,
        account.phone,
        account.full_name,
        account.language_code,
        account.email_verified,
        account.phone_verified,
        now,
    )


async def set_password_hash(connection: Connection, user_id: UUID, password_hash: str, now: datetime) -> None:
    """Another hash."""
    await connection.execute(
        "UPDATE accounts SET password_hash = $2, update_time = $3, version = version + 1 WHERE user_id = $1",
        user_id,
        password_hash,
        now,
    )


async def upgrade_hash(connection: Connection, user_id: UUID, old: str, new: str) -> None:
    """The same password at another cost, unless it was changed in between."""
    await connection.execute(
        "UPDATE accounts SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2", user_id, old, new
    )


async def set_state(connection: Connection, user_id: UUID, state: AccountState, now: datetime) -> None:
    """Another state, of a locked account."""
    await connection.execute(
        "UPDATE accounts SET state = $2, update_time = $3, version = version + 1 WHERE user_id = $1",
        user_id,
        state.value,
        now,
    )


async def touch(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Note that the account changed."""
    await connection.execute(
        "UPDATE accounts SET update_time = $2, version = version + 1 WHERE user_id = $1", user_id, now
    )


async def anonymise(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Leave an account of nobody: the row stays for what refers to it, and its names are free for others."""
    await connection.execute("DELETE FROM account_roles WHERE user_id = $1", user_id)
    await connection.execute(
        "UPDATE accounts SET email = $2, username = NULL, phone = NULL, full_name = '', language_code = NULL,"
        " password_hash = '', state = 'DELETED', email_verified = false, phone_verified = false, update_time = $3,"
        " version = version + 1 WHERE user_id = $1",
        user_id,
        # RFC 2606: nobody can ever have it. The id alone is known to others, who could register the address first.
        f"{user_id}.{secrets.token_hex(8)}@deleted.invalid",
        now,
    )


async def add_role(connection: Connection, user_id: UUID, role: Role, now: datetime) -> bool:
    """Give the role; False when the account has it already."""
    tag = await connection.execute(
        "INSERT INTO account_roles (user_id, role, create_time) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        user_id,
        role.value,
        now,
    )
    return tag == "INSERT 0 1"


async def remove_role(connection: Connection, user_id: UUID, role: Role) -> bool:
    """Take the role; False when the account does not have it."""
    tag = await connection.execute("DELETE FROM account_roles WHERE user_id = $1 AND role = $2", user_id, role.value)
    return tag == "DELETE 1"


async def lock_admins(connection: Connection) -> None:
    """Be the only one who takes an admin away until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADMINS_LOCK)


async def has_other_admin(connection: Connection, user_id: UUID) -> bool:
    """Whether somebody else may run the marketplace."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM account_roles r JOIN accounts a USING (user_id)"
        " WHERE r.role = 'ADMIN' AND a.state = 'ACTIVE' AND a.user_id <> $1)",
        user_id,
    )
    return found
