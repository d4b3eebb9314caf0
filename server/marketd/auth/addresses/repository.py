"""The SQL over saved addresses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.kernel.db.database import Connection, Record
from marketd.kernel.values.address import Address


@dataclass(frozen=True, slots=True)
class SavedAddress:
    """An address in somebody's book."""

    address_id: UUID
    label: str
    address: Address
    is_default: bool
    create_time: datetime
    update_time: datetime
    version: int


_SELECT = "SELECT address_id, label, address, is_default, create_time, update_time, version FROM addresses"


class AddressRepository:
    """The address book of one account: every statement names its owner, so nobody reaches another's."""

    def __init__(self, connection: Connection, user_id: UUID) -> None:
        self._connection = connection
        self._user_id = user_id

    async def by_id(self, address_id: UUID) -> SavedAddress | None:
        """The owner's address with this id."""
        row = await self._connection.fetchrow(
            f"{_SELECT} WHERE address_id = $1 AND user_id = $2", address_id, self._user_id
        )
        return None if row is None else _saved(row)

    async def list(self, after: UUID | None, limit: int) -> list[SavedAddress]:
        """The owner's addresses, the newest first, after the last one shown."""
        rows = await self._connection.fetch(
            f"{_SELECT} WHERE user_id = $1 AND ($2::uuid IS NULL OR address_id < $2) ORDER BY address_id DESC LIMIT $3",
            self._user_id,
            after,
            limit,
        )
        return [_saved(row) for row in rows]

    async def count(self) -> int:
        """How many addresses the owner keeps."""
        return int(await self._connection.fetchval("SELECT count(*) FROM addresses WHERE user_id = $1", self._user_id))

    async def insert(self, saved: SavedAddress) -> None:
        """A new address."""
        await self._connection.execute(
            "INSERT INTO addresses (address_id, user_id, label, address, is_default, create_time, update_time)"
            " VALUES ($1, $2, $3, $4::jsonb, $5, $6, $6)",
            saved.address_id,
            self._user_id,
            saved.label,
            saved.address.to_json_text(),
            saved.is_default,
            saved.create_time,
        )

    async def update(self, address_id: UUID, label: str, address: Address, now: datetime) -> None:
        """Write these."""
        await self._connection.execute(
            "UPDATE addresses SET label = $3, address = $4::jsonb, update_time = $5, version = version + 1"
            " WHERE address_id = $1 AND user_id = $2",
            address_id,
            self._user_id,
            label,
            address.to_json_text(),
            now,
        )

    async def delete(self, address_id: UUID) -> None:
        """Remove the address."""
        await self._connection.execute(
            "DELETE FROM addresses WHERE address_id = $1 AND user_id = $2", address_id, self._user_id
        )

    async def set_default(self, address_id: UUID | None, now: datetime) -> None:
        """Make this the owner's default (None: leave it without one); two statements, for the constraint's sake."""
        await self._connection.execute(
            "UPDATE addresses SET is_default = false, update_time = $3, version = version + 1"
            " WHERE user_id = $1 AND is_default AND address_id IS DISTINCT FROM $2",
            self._user_id,
            address_id,
            now,
        )
        await self._connection.execute(
            "UPDATE addresses SET is_default = true, update_time = $3, version = version + 1"
            " WHERE user_id = $1 AND address_id = $2 AND NOT is_default",
            self._user_id,
            address_id,
            now,
        )


def _saved(row: Record) -> SavedAddress:
    return SavedAddress(
        address_id=row["address_id"],
        label=row["label"],
        address=Address.from_json(row["address"]),
        is_default=row["is_default"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        version=row["version"],
    )
