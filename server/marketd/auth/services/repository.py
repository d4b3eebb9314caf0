"""The SQL over service accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.auth.sessions.repository import Standing
from marketd.kernel.call.caller import Role
from marketd.kernel.db.database import Connection, Record


@dataclass(frozen=True, slots=True)
class ServiceAccountRow:
    """An internal service, without its secret. Its client id is its id."""

    service_account_id: UUID
    name: str
    create_time: datetime
    last_used_time: datetime | None
    revoke_time: datetime | None


_COLUMNS = "service_account_id, name, create_time, last_used_time, revoke_time"


def _account(row: Record) -> ServiceAccountRow:
    return ServiceAccountRow(**dict(row.items()))


class ServiceAccountRepository:
    """Service accounts; secrets appear here only as their SHA-256."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert(self, service_account_id: UUID, name: str, secret_hash: bytes, now: datetime) -> ServiceAccountRow:
        """A new one. A taken name breaks a unique constraint."""
        await self._connection.execute(
            "INSERT INTO service_accounts (service_account_id, name, secret_hash, create_time) VALUES ($1, $2, $3, $4)",
            service_account_id,
            name,
            secret_hash,
            now,
        )
        return ServiceAccountRow(service_account_id, name, now, None, None)

    async def by_id(self, service_account_id: UUID) -> ServiceAccountRow | None:
        """The service account with this id."""
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM service_accounts WHERE service_account_id = $1",  # noqa: S608 - constants
            service_account_id,
        )
        return None if row is None else _account(row)

    async def list(self, before: UUID | None, limit: int) -> list[ServiceAccountRow]:
        """The newest first, from the one after `before` on."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM service_accounts WHERE $1::uuid IS NULL OR service_account_id < $1"  # noqa: S608 - constants
            " ORDER BY service_account_id DESC LIMIT $2",
            before,
            limit,
        )
        return [_account(row) for row in rows]

    async def use(self, service_account_id: UUID, now: datetime) -> bytes | None:
        """Note that it was used, and give the hash of its secret; None when it is unknown or revoked."""
        value: bytes | None = await self._connection.fetchval(
            "UPDATE service_accounts SET last_used_time = $2 WHERE service_account_id = $1 AND revoke_time IS NULL"
            " RETURNING secret_hash",
            service_account_id,
            now,
        )
        return value

    async def revoke(self, service_account_id: UUID, now: datetime) -> bool:
        """Revoke it; False when that was done before, or there is none."""
        tag = await self._connection.execute(
            "UPDATE service_accounts SET revoke_time = $2 WHERE service_account_id = $1 AND revoke_time IS NULL",
            service_account_id,
            now,
        )
        return tag == "UPDATE 1"

    async def standing(self, service_account_id: UUID) -> Standing | None:
        """What its tokens are worth now."""
        row = await self._connection.fetchrow(
            "SELECT revoke_time FROM service_accounts WHERE service_account_id = $1", service_account_id
        )
        return None if row is None else Standing(AccountState.ACTIVE, row["revoke_time"], frozenset({Role.SERVICE}))
