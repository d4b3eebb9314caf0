"""Every statement on couriers, their shifts and their latest positions; all on `connection`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.delivery.states import CourierState, Vehicle
from marketd.delivery.values import CourierView, LatestPosition, Rating, ShiftView
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.values.geo import Point

_COURIER: Final = (
    "SELECT c.courier_id, c.user_id, c.first_name, c.last_name, c.phone, c.vehicle, c.plate_number, c.state,"
    " c.rating_counts, c.completed_deliveries, c.create_time, c.update_time, c.approve_time, c.version,"
    " s.shift_id, s.vehicle AS shift_vehicle"
    " FROM couriers c LEFT JOIN shifts s ON s.courier_id = c.courier_id AND s.end_time IS NULL"
)
_SHIFT: Final = "shift_id, courier_id, vehicle, start_time, end_time, completed_deliveries"


@dataclass(frozen=True, slots=True)
class NewCourier:
    """A courier to be made, PENDING."""

    courier_id: UUID
    user_id: UUID
    first_name: str
    last_name: str
    phone: str
    vehicle: Vehicle
    plate_number: str


async def insert(connection: Connection, new: NewCourier, now: datetime) -> bool:
    """Make the courier unless the account has one; whether it was made."""
    tag = await connection.execute(
        "INSERT INTO couriers (courier_id, user_id, first_name, last_name, phone, vehicle, plate_number, state,"
        " create_time, update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, 'PENDING', $8, $8)"
        " ON CONFLICT (user_id) DO NOTHING",
        new.courier_id,
        new.user_id,
        new.first_name,
        new.last_name,
        new.phone,
        new.vehicle.value,
        new.plate_number,
        now,
    )
    return tag == "INSERT 0 1"


async def of_account(connection: Connection, user_id: UUID) -> CourierView | None:
    """The account's courier."""
    row = await connection.fetchrow(f"{_COURIER} WHERE c.user_id = $1", user_id)
    return to_courier(row) if row is not None else None


async def lock_of_account(connection: Connection, user_id: UUID) -> CourierView | None:
    """The account's courier, with its row locked; it comes before all deliveries.

    Two statements: what hangs on the lock (the shift) is read with a snapshot from after it.
    """
    await connection.execute("SELECT 1 FROM couriers WHERE user_id = $1 FOR NO KEY UPDATE", user_id)
    return await of_account(connection, user_id)


async def read(connection: Connection, courier_id: UUID) -> CourierView | None:
    """The courier."""
    row = await connection.fetchrow(f"{_COURIER} WHERE c.courier_id = $1", courier_id)
    return to_courier(row) if row is not None else None


async def lock(connection: Connection, courier_id: UUID) -> CourierView | None:
    """The courier with its row locked; see lock_of_account."""
    await connection.execute("SELECT 1 FROM couriers WHERE courier_id = $1 FOR NO KEY UPDATE", courier_id)
    return await read(connection, courier_id)


async def write_approval(connection: Connection, courier_id: UUID, now: datetime) -> None:
    """Make a locked courier ACTIVE."""
    await connection.execute(
        "UPDATE couriers SET state = 'ACTIVE', approve_time = $2, update_time = $2, version = version + 1"
        " WHERE courier_id = $1",
        courier_id,
        now,
    )


async def count_completed(connection: Connection, courier_id: UUID, delivery_id: UUID) -> None:
    """One more delivery was completed, by the courier and in the shift in which it was assigned."""
    await connection.execute(
        "UPDATE couriers SET completed_deliveries = completed_deliveries + 1 WHERE courier_id = $1", courier_id
    )
    await connection.execute(
        "UPDATE shifts s SET completed_deliveries = s.completed_deliveries + 1 FROM deliveries d"
        " WHERE d.delivery_id = $1 AND s.shift_id = d.shift_id",
        delivery_id,
    )


async def start_shift(
    connection: Connection, shift_id: UUID, courier_id: UUID, vehicle: Vehicle, now: datetime
) -> ShiftView:
    """A new running shift of a locked courier who has none."""
    row = await connection.fetchrow(
        f"INSERT INTO shifts (shift_id, courier_id, vehicle, start_time) VALUES ($1, $2, $3, $4) RETURNING {_SHIFT}",  # noqa: S608 - constant columns
        shift_id,
        courier_id,
        vehicle.value,
        now,
    )
    return _to_shift(row)


async def end_shift(connection: Connection, shift_id: UUID, now: datetime) -> ShiftView:
    """End the shift of a locked courier."""
    row = await connection.fetchrow(
        f"UPDATE shifts SET end_time = greatest($2, start_time) WHERE shift_id = $1 RETURNING {_SHIFT}",  # noqa: S608 - constant columns
        shift_id,
        now,
    )
    return _to_shift(row)


async def open_delivery_of(connection: Connection, courier_id: UUID) -> UUID | None:
    """One of the courier's open deliveries, if there is any."""
    found: UUID | None = await connection.fetchval(
        "SELECT delivery_id FROM deliveries WHERE courier_id = $1 AND state <> 'CLOSED' ORDER BY delivery_id LIMIT 1",
        courier_id,
    )
    return found


async def save_latest_positions(connection: Connection, positions: Sequence[LatestPosition]) -> None:
    """Write down where couriers were last seen, one statement for all; an older position than the one kept is dropped.

    Rows are locked in the couriers' order; of several positions of one courier the newest counts.
    """
    await connection.execute(
        "INSERT INTO courier_latest_positions AS p (courier_id, sample_time, receive_time, latitude, longitude,"
        " speed_mps, heading_degrees, accuracy_meters, seq)"
        " SELECT DISTINCT ON (courier_id) * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[],"
        " $4::float8[], $5::float8[], $6::float8[], $7::float8[], $8::float8[], $9::bigint[])"
        " AS n(courier_id, sample_time, receive_time, latitude, longitude, speed_mps, heading_degrees,"
        " accuracy_meters, seq) ORDER BY courier_id, sample_time DESC, seq DESC"
        " ON CONFLICT (courier_id) DO UPDATE SET sample_time = excluded.sample_time,"
        " receive_time = excluded.receive_time, latitude = excluded.latitude, longitude = excluded.longitude,"
        " speed_mps = excluded.speed_mps, heading_degrees = excluded.heading_degrees,"
        " accuracy_meters = excluded.accuracy_meters, seq = excluded.seq WHERE p.sample_time < excluded.sample_time",
        [position.courier_id for position in positions],
        [position.sample_time for position in positions],
        [position.receive_time for position in positions],
        [position.point.latitude for position in positions],
        [position.point.longitude for position in positions],
        [position.speed_mps for position in positions],
        [position.heading_degrees for position in positions],
        [position.accuracy_meters for position in positions],
        [position.seq for position in positions],
    )


async def read_latest_position(connection: Connection, courier_id: UUID) -> LatestPosition | None:
    """Where the courier was last seen."""
    row = await connection.fetchrow(
        "SELECT courier_id, sample_time, receive_time, latitude, longitude, speed_mps, heading_degrees,"
        " accuracy_meters, seq FROM courier_latest_positions WHERE courier_id = $1",
        courier_id,
    )
    if row is None:
        return None
    return LatestPosition(
        courier_id=row["courier_id"],
        sample_time=row["sample_time"],
        receive_time=row["receive_time"],
        point=Point(row["latitude"], row["longitude"]),
        speed_mps=row["speed_mps"],
        heading_degrees=row["heading_degrees"],
        accuracy_meters=row["accuracy_meters"],
        seq=row["seq"],
    )


def to_courier(row: Record) -> CourierView:
    """A row with the columns of `_COURIER`."""
    return CourierView(
        courier_id=row["courier_id"],
        user_id=row["user_id"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        phone=row["phone"],
        vehicle=Vehicle(row["vehicle"]),
        plate_number=row["plate_number"],
        state=CourierState(row["state"]),
        rating=Rating(tuple(row["rating_counts"])),
        completed_deliveries=row["completed_deliveries"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        approve_time=row["approve_time"],
        version=row["version"],
        shift_id=row["shift_id"],
        shift_vehicle=Vehicle(row["shift_vehicle"]) if row["shift_vehicle"] is not None else None,
    )


def _to_shift(row: Record | None) -> ShiftView:
    if row is None:
        raise RuntimeError("a shift of a locked courier is gone")
    return ShiftView(
        shift_id=row["shift_id"],
        courier_id=row["courier_id"],
        vehicle=Vehicle(row["vehicle"]),
        start_time=row["start_time"],
        end_time=row["end_time"],
        completed_deliveries=row["completed_deliveries"],
    )
