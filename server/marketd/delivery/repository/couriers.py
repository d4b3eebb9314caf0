"""Every SQL statement of couriers and their shifts."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.delivery.model import Vehicle
from marketd.delivery.values import Courier, CourierFilter, Shift
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns, where
from marketd.kernel.values.ratings import Rating

# ruff: noqa: S608 - every interpolated part is one of the constants here
_COURIER = Columns(Courier, table="c", expressions={"shift_id": "s.shift_id", "shift_vehicle": "s.vehicle"})
_READ: Final = (
    f"SELECT {_COURIER.sql} FROM couriers c LEFT JOIN shifts s ON s.courier_id = c.courier_id AND s.end_time IS NULL"
)
_SHIFT = Columns(Shift)


async def insert(connection: Connection, courier: Courier) -> bool:
    """Write a new courier unless the account has one who is not REJECTED or CLOSED; whether it was written."""
    tag = await connection.execute(
        "INSERT INTO couriers (courier_id, user_id, first_name, last_name, phone, vehicle, plate_number, state,"
        " create_time, update_time, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        " ON CONFLICT (user_id) WHERE state NOT IN ('REJECTED', 'CLOSED') DO NOTHING",
        courier.courier_id,
        courier.user_id,
        courier.first_name,
        courier.last_name,
        courier.phone,
        courier.vehicle.value,
        courier.plate_number,
        courier.state.value,
        courier.create_time,
        courier.update_time,
        courier.version,
    )
    return tag == "INSERT 0 1"


async def save(connection: Connection, courier: Courier) -> None:
    """Write what can change of a locked courier, but for what is counted."""
    await connection.execute(
        "UPDATE couriers SET state = $2, state_reason = $3, first_name = $4, last_name = $5, phone = $6,"
        " plate_number = $7, approve_time = $8, update_time = $9, version = $10 WHERE courier_id = $1",
        courier.courier_id,
        courier.state.value,
        courier.state_reason,
        courier.first_name,
        courier.last_name,
        courier.phone,
        courier.plate_number,
        courier.approve_time,
        courier.update_time,
        courier.version,
    )


async def read(connection: Connection, courier_id: UUID) -> Courier | None:
    """The courier with this id."""
    return _COURIER.optional(await connection.fetchrow(f"{_READ} WHERE c.courier_id = $1", courier_id))


async def read_own(connection: Connection, user_id: UUID) -> Courier | None:
    """The account's courier: the one who is not REJECTED or CLOSED, else the one that applied last."""
    row = await connection.fetchrow(
        f"{_READ} WHERE c.user_id = $1 ORDER BY c.state IN ('REJECTED', 'CLOSED'), c.courier_id DESC LIMIT 1", user_id
    )
    return _COURIER.optional(row)


async def lock_own(connection: Connection, user_id: UUID) -> Courier | None:
    """The account's courier as `read_own` has it, with the rows of all of the account's locked: before deliveries.

    A second statement reads, so that it sees the shift as it is after a wait for the lock.
    """
    await _lock_all(connection, user_id)
    return await read_own(connection, user_id)


async def lock_all_own(connection: Connection, user_id: UUID) -> list[Courier]:
    """Every courier that the account ever had, locked, in the order in which it applied."""
    await _lock_all(connection, user_id)
    return _COURIER.values(await connection.fetch(f"{_READ} WHERE c.user_id = $1 ORDER BY c.courier_id", user_id))


async def list_page(connection: Connection, wanted: CourierFilter, after: UUID | None, limit: int) -> list[Courier]:
    """Couriers in the order in which they applied, or the other way round, behind `after`.

    Each branch walks one index and stops after a page, so page 1,000 costs what page 1 does; see pages.py.
    """
    arguments = Arguments()
    conditions: list[str] = []
    walked = [("user_id", arguments.add(user_id)) for user_id in wanted.user_ids]
    states = [arguments.add(state.value) for state in wanted.states]
    if states and walked:
        conditions.append(f"state IN ({', '.join(states)})")
    elif states:
        walked = [("state", state) for state in states]
    if after is not None:
        conditions.append(f"courier_id {'<' if wanted.is_descending else '>'} {arguments.add(after)}")
    sorted_by = "courier_id DESC" if wanted.is_descending else "courier_id"
    tail = f"ORDER BY {sorted_by} LIMIT {arguments.add(limit)}"
    branches = [
        f"(SELECT courier_id FROM couriers{where([f'{column} = {key}', *conditions])} {tail})" for column, key in walked
    ]
    source = f"({' UNION '.join(branches)}) found" if branches else f"couriers{where(conditions)}"
    rows = await connection.fetch(
        f"{_READ} WHERE c.courier_id IN (SELECT courier_id FROM {source} {tail}) ORDER BY c.{sorted_by}", *arguments
    )
    return _COURIER.values(rows)


async def lock(connection: Connection, courier_id: UUID) -> Courier | None:
    """The courier with its row locked; see lock_own."""
    await connection.execute("SELECT 1 FROM couriers WHERE courier_id = $1 FOR NO KEY UPDATE", courier_id)
    return await read(connection, courier_id)


async def count_completed(connection: Connection, courier_id: UUID, shift_id: UUID | None) -> None:
    """One more delivery was completed, by the courier and in the shift in which it was assigned."""
    await connection.execute(
        "UPDATE couriers SET completed_deliveries = completed_deliveries + 1 WHERE courier_id = $1", courier_id
    )
    await connection.execute(
        "UPDATE shifts SET completed_deliveries = completed_deliveries + 1, version = version + 1 WHERE shift_id = $1",
        shift_id,
    )


async def set_rating(connection: Connection, courier_id: UUID, rating: Rating) -> None:
    """Write what buyers think of the courier, whose row is locked by it."""
    await connection.execute(
        "UPDATE couriers SET rating_counts = $2 WHERE courier_id = $1", courier_id, list(rating.counts)
    )


async def last_shift(connection: Connection, courier_id: UUID) -> Shift | None:
    """The shift that the courier started last, running or not."""
    row = await connection.fetchrow(
        f"SELECT {_SHIFT.sql} FROM shifts WHERE courier_id = $1 ORDER BY start_time DESC, shift_id DESC LIMIT 1",
        courier_id,
    )
    return _SHIFT.optional(row)


async def start_shift(
    connection: Connection, shift_id: UUID, courier_id: UUID, vehicle: Vehicle, now: datetime
) -> Shift:
    """A new running shift of a locked courier who has none."""
    row = await connection.fetchrow(
        "INSERT INTO shifts (shift_id, courier_id, vehicle, start_time) VALUES ($1, $2, $3, $4)"
        f" RETURNING {_SHIFT.sql}",
        shift_id,
        courier_id,
        vehicle.value,
        now,
    )
    return _present(_SHIFT.optional(row))


async def end_shift(connection: Connection, shift_id: UUID, now: datetime) -> Shift:
    """End the shift of a locked courier."""
    row = await connection.fetchrow(
        "UPDATE shifts SET end_time = greatest($2, start_time), version = version + 1 WHERE shift_id = $1"
        f" RETURNING {_SHIFT.sql}",
        shift_id,
        now,
    )
    return _present(_SHIFT.optional(row))


async def _lock_all(connection: Connection, user_id: UUID) -> None:
    await connection.execute("SELECT 1 FROM couriers WHERE user_id = $1 ORDER BY courier_id FOR NO KEY UPDATE", user_id)


def _present(shift: Shift | None) -> Shift:
    if shift is None:
        raise RuntimeError("a shift of a locked courier is gone")
    return shift
