"""Every SQL statement of service accounts; secrets appear here only as their SHA-256."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.auth.services.values import ServiceAccount
from marketd.auth.sessions.values import Standing
from marketd.kernel.call.caller import Role
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_ACCOUNT = Columns(ServiceAccount)


async def insert(
    connection: Connection, service_account_id: UUID, name: str, secret_hash: bytes, now: datetime
) -> ServiceAccount:
    """A new one. A taken name breaks a unique constraint."""
    await connection.execute(
        "INSERT INTO service_accounts (service_account_id, name, secret_hash, create_time) VALUES ($1, $2, $3, $4)",
        service_account_id,
        name,
        secret_hash,
        now,
    )
    return ServiceAccount(service_account_id, name, now, None, None)


async def read(connection: Connection, service_account_id: UUID) -> ServiceAccount | None:
    """The service account with this id."""
    return _ACCOUNT.optional(
        await connection.fetchrow(
            f"SELECT {_ACCOUNT.sql} FROM service_accounts WHERE service_account_id = $1", service_account_id
        )
    )


async def list_page(
    connection: Connection, after: UUID | None, limit: int, *, descending: bool
) -> list[ServiceAccount]:
    """Those after the last one shown, in the order of their ids, which are made in that of time."""
    past, way = ("<", "DESC") if descending else (">", "ASC")
    rows = await connection.fetch(
        f"SELECT {_ACCOUNT.sql} FROM service_accounts WHERE $1::uuid IS NULL OR service_account_id {past} $1"
        f" ORDER BY service_account_id {way} LIMIT $2",
        after,
        limit,
    )
    return _ACCOUNT.values(rows)


async def use(connection: Connection, service_account_id: UUID, secret_hash: bytes, now: datetime) -> bool:
    """Note that it was used; False, and nothing is written, when it is unknown or revoked or has another secret.

    How long the comparison takes tells at most some of a hash, and a secret of 256 bits is not found by its hash.
    """
    tag = await connection.execute(
        "UPDATE service_accounts SET use_time = $3"
        " WHERE service_account_id = $1 AND secret_hash = $2 AND revoke_time IS NULL",
        service_account_id,
        secret_hash,
        now,
    )
    return tag == "UPDATE 1"


async def revoke(connection: Connection, service_account_id: UUID, now: datetime) -> bool:
    """Revoke it; False when that was done before, or there is none."""
    tag = await connection.execute(
        "UPDATE service_accounts SET revoke_time = $2 WHERE service_account_id = $1 AND revoke_time IS NULL",
        service_account_id,
        now,
    )
    return tag == "UPDATE 1"


async def read_standing(connection: Connection, service_account_id: UUID) -> Standing | None:
    """What its tokens are worth now."""
    account = await read(connection, service_account_id)
    return None if account is None else Standing(AccountState.ACTIVE, account.revoke_time, frozenset({Role.SERVICE}))
