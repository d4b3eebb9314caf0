"""Every SQL statement of saved addresses. Each names the owner, so nobody reaches another's."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.auth.addresses.values import SavedAddress
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.values.address import Address

# ruff: noqa: S608 - every interpolated part is one of the constants here
_SAVED = Columns(SavedAddress, readers={"address": Address.from_json})
_SELECT = f"SELECT {_SAVED.sql} FROM addresses"


async def read(connection: Connection, user_id: UUID, address_id: UUID) -> SavedAddress | None:
    """The owner's address with this id."""
    return _SAVED.optional(
        await connection.fetchrow(f"{_SELECT} WHERE address_id = $1 AND user_id = $2", address_id, user_id)
    )


async def list_page(connection: Connection, user_id: UUID, after: UUID | None, limit: int) -> list[SavedAddress]:
    """The owner's addresses, the newest first, after the last one shown."""
    rows = await connection.fetch(
        f"{_SELECT} WHERE user_id = $1 AND ($2::uuid IS NULL OR address_id < $2) ORDER BY address_id DESC LIMIT $3",
        user_id,
        after,
        limit,
    )
    return _SAVED.values(rows)


async def count(connection: Connection, user_id: UUID) -> int:
    """How many addresses the owner keeps."""
    return int(await connection.fetchval("SELECT count(*) FROM addresses WHERE user_id = $1", user_id))


async def insert(connection: Connection, user_id: UUID, saved: SavedAddress) -> None:
    """A new address."""
    await connection.execute(
        "INSERT INTO addresses (address_id, user_id, label, address, is_default, create_time, update_time)"
        " VALUES ($1, $2, $3, $4::jsonb, $5, $6, $6)",
        saved.address_id,
        user_id,
        saved.label,
        saved.address.to_json_text(),
        saved.is_default,
        saved.create_time,
    )


async def save(connection: Connection, user_id: UUID, saved: SavedAddress, now: datetime) -> None:
    """Write label and address."""
    await connection.execute(
        "UPDATE addresses SET label = $3, address = $4::jsonb, update_time = $5, version = version + 1"
        " WHERE address_id = $1 AND user_id = $2",
        saved.address_id,
        user_id,
        saved.label,
        saved.address.to_json_text(),
        now,
    )


async def set_default(connection: Connection, user_id: UUID, address_id: UUID | None, now: datetime) -> None:
    """Make this the owner's default (None: leave the owner without one); two statements, for the constraint's sake."""
    await connection.execute(
        "UPDATE addresses SET is_default = false, update_time = $3, version = version + 1"
        " WHERE user_id = $1 AND is_default AND address_id IS DISTINCT FROM $2",
        user_id,
        address_id,
        now,
    )
    await connection.execute(
        "UPDATE addresses SET is_default = true, update_time = $3, version = version + 1"
        " WHERE user_id = $1 AND address_id = $2 AND NOT is_default",
        user_id,
        address_id,
        now,
    )


async def delete(connection: Connection, user_id: UUID, address_id: UUID) -> None:
    """Remove the address."""
    await connection.execute("DELETE FROM addresses WHERE address_id = $1 AND user_id = $2", address_id, user_id)


async def delete_all(connection: Connection, user_id: UUID) -> None:
    """Remove the owner's whole book."""
    await connection.execute("DELETE FROM addresses WHERE user_id = $1", user_id)
