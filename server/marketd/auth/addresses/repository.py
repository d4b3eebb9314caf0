"""Every SQL statement of saved addresses. Each names the owner, so nobody reaches another's."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from marketd.auth.addresses.values import SavedAddress
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.values.address import Address

# ruff: noqa: S608 - every interpolated part is one of the constants here
_SAVED = Columns(SavedAddress, expressions={"primary": '"primary"'}, readers={"postal_address": Address.from_json})
_SELECT = f"SELECT {_SAVED.sql} FROM addresses"


async def read(connection: Connection, user_id: UUID, address_id: UUID) -> SavedAddress | None:
    """The owner's address with this id."""
    return _SAVED.optional(
        await connection.fetchrow(f"{_SELECT} WHERE address_id = $1 AND user_id = $2", address_id, user_id)
    )


async def list_page(
    connection: Connection, user_id: UUID, after: UUID | None, limit: int, *, descending: bool = True
) -> list[SavedAddress]:
    """The owner's addresses after the last one shown, in the order of their ids, which are made in that of time."""
    past, way = ("<", "DESC") if descending else (">", "ASC")
    rows = await connection.fetch(
        f"{_SELECT} WHERE user_id = $1 AND ($2::uuid IS NULL OR address_id {past} $2)"
        f" ORDER BY address_id {way} LIMIT $3",
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
        'INSERT INTO addresses (address_id, user_id, label, postal_address, "primary", create_time, update_time)'
        " VALUES ($1, $2, $3, $4::jsonb, $5, $6, $6)",
        saved.address_id,
        user_id,
        saved.label,
        saved.postal_address.to_json_text(),
        saved.primary,
        saved.create_time,
    )


async def save(connection: Connection, user_id: UUID, saved: SavedAddress, now: datetime) -> None:
    """Write label and address."""
    await connection.execute(
        "UPDATE addresses SET label = $3, postal_address = $4::jsonb, update_time = $5, version = version + 1"
        " WHERE address_id = $1 AND user_id = $2",
        saved.address_id,
        user_id,
        saved.label,
        saved.postal_address.to_json_text(),
        now,
    )


async def set_default(connection: Connection, user_id: UUID, address_id: UUID | None, now: datetime) -> None:
    """Make this the owner's default (None: leave the owner without one); two statements, for the constraint's sake."""
    await connection.execute(
        'UPDATE addresses SET "primary" = false, update_time = $3, version = version + 1'
        ' WHERE user_id = $1 AND "primary" AND address_id IS DISTINCT FROM $2',
        user_id,
        address_id,
        now,
    )
    await connection.execute(
        'UPDATE addresses SET "primary" = true, update_time = $3, version = version + 1'
        ' WHERE user_id = $1 AND address_id = $2 AND NOT "primary"',
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
