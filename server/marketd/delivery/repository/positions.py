"""Every SQL statement of the couriers' latest positions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.delivery.values import LatestPosition
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

_POSITION = Columns(LatestPosition)


async def save_latest(connection: Connection, positions: Sequence[LatestPosition]) -> None:
    """Write down where couriers were last seen, in one statement; an older position than the one kept is dropped.

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
        [position.latitude for position in positions],
        [position.longitude for position in positions],
        [position.speed_mps for position in positions],
        [position.heading_degrees for position in positions],
        [position.accuracy_meters for position in positions],
        [position.seq for position in positions],
    )


async def read_latest(connection: Connection, courier_id: UUID) -> LatestPosition | None:
    """Where the courier was last seen."""
    row = await connection.fetchrow(
        f"SELECT {_POSITION.sql} FROM courier_latest_positions WHERE courier_id = $1",  # noqa: S608 - constant columns
        courier_id,
    )
    return _POSITION.optional(row)


async def forget(connection: Connection, courier_ids: Sequence[UUID]) -> None:
    """Delete where these couriers were last seen."""
    await connection.execute("DELETE FROM courier_latest_positions WHERE courier_id = ANY($1::uuid[])", courier_ids)
