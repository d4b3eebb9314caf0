"""Every SQL statement of tracking but those of its partitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.values.geo import Point
from marketd.tracking.trip.trip import Promise
from marketd.tracking.uplink.track import Flag
from marketd.tracking.values import Fix, micros


class NewPosition(NamedTuple):
    """One position on its way into the database, in the order of `_STORE`'s arrays.

    `which` numbers the uplink of the batch from 1 (a Postgres array). With a `reason` nothing but `seq` counts.
    """

    which: int
    seq: int
    sample_micros: int | None
    receive_micros: int
    latitude: float | None
    longitude: float | None
    accuracy_meters: float | None
    speed_mps: float | None
    heading_degrees: float | None
    is_mock: bool
    battery_percent: int | None
    flags: int
    reason: int | None


_PROMISE: Final = Columns(Promise, table="p", expressions={"is_late": "p.late_time IS NOT NULL"})

# One statement for a whole batch: the ledger's key decides what is new, in key order so that two workers cannot
# deadlock, and only what is new is stored. The answer is the duplicates, which are rare.
_STORE: Final = """
WITH incoming AS (
  SELECT ($1::uuid[])[i.which] AS courier_id, ($2::uuid[])[i.which] AS uplink_id, i.*
  FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::float8[], $8::float8[], $9::float8[],
              $10::float8[], $11::float8[], $12::bool[], $13::smallint[], $14::smallint[], $15::smallint[])
    AS i(which, seq, sample_micros, receive_micros, latitude, longitude, accuracy_meters,
         speed_mps, heading_degrees, is_mock, battery_percent, flags, reason)
), fresh AS (
  INSERT INTO position_ledger (courier_id, uplink_id, seq, reason)
  SELECT courier_id, uplink_id, seq, reason FROM incoming ORDER BY courier_id, uplink_id, seq
  ON CONFLICT DO NOTHING
  RETURNING courier_id, uplink_id, seq
), stored AS (
  INSERT INTO position_points (courier_id, uplink_id, seq, sample_time, receive_time, latitude, longitude,
    accuracy_meters, speed_mps, heading_degrees, is_mock, battery_percent, flags)
  SELECT courier_id, uplink_id, seq,
    timestamptz 'epoch' + sample_micros * interval '1 microsecond',
    timestamptz 'epoch' + receive_micros * interval '1 microsecond',
    latitude, longitude, accuracy_meters, speed_mps, heading_degrees, is_mock, battery_percent, flags
  FROM incoming JOIN fresh USING (courier_id, uplink_id, seq) WHERE reason IS NULL
)
SELECT i.which, i.seq FROM incoming i LEFT JOIN fresh f USING (courier_id, uplink_id, seq) WHERE f.seq IS NULL
"""


async def store(
    connection: Connection, couriers: Sequence[UUID], uplinks: Sequence[UUID], rows: Sequence[NewPosition]
) -> list[tuple[int, int]]:
    """Write the batch; (which, seq) of the duplicates, of which nothing was written.

    `couriers[n - 1]` and `uplinks[n - 1]` belong to rows with `which` n. No number may stand twice in a batch.
    """
    duplicates = await connection.fetch(_STORE, couriers, uplinks, *map(list, zip(*rows, strict=True)))
    return [(row["which"], row["seq"]) for row in duplicates]


_RECENT: Final = f"""
SELECT seq, sample_time, receive_time, latitude, longitude, accuracy_meters, speed_mps, heading_degrees, flags
FROM position_points WHERE courier_id = $1 AND sample_time > $2 AND flags & {Flag.OUT_OF_ORDER:d} = 0
ORDER BY sample_time DESC LIMIT $3
"""  # noqa: S608 - a number of our own


async def read_recent(connection: Connection, courier_id: UUID, after: datetime, limit: int) -> list[tuple[Fix, int]]:
    """The courier's newest positions sampled after that time, first received first, with their flags.

    Without those that came after higher numbers: they say nothing of where the courier went.
    """
    rows = await connection.fetch(_RECENT, courier_id, after, limit)
    recent = []
    for row in rows:
        sampled, received = micros(row["sample_time"]), micros(row["receive_time"])
        ahead = max(sampled - received, 0)
        fix = Fix(
            row["seq"],
            sampled - ahead,
            received,
            Point(row["latitude"], row["longitude"]),
            row["accuracy_meters"],
            row["speed_mps"],
            row["heading_degrees"],
            ahead,
        )
        recent.append((fix, int(row["flags"])))
    return sorted(recent, key=lambda known: (known[0].receive_micros, known[0].seq))


async def rejected_among(
    connection: Connection, courier_id: UUID, uplink_id: UUID, seqs: Sequence[int]
) -> list[tuple[int, int]]:
    """Those of the numbers that were rejected before, with their reasons."""
    rows = await connection.fetch(
        "SELECT seq, reason FROM position_ledger WHERE courier_id = $1 AND uplink_id = $2 AND seq = ANY($3::bigint[])"
        " AND reason IS NOT NULL ORDER BY seq",
        courier_id,
        uplink_id,
        seqs,
    )
    return [(row["seq"], row["reason"]) for row in rows]


async def rejected_after(
    connection: Connection, courier_id: UUID, uplink_id: UUID, after_seq: int, limit: int
) -> list[tuple[int, int]]:
    """The rejected numbers above `after_seq`, with their reasons, lowest first."""
    rows = await connection.fetch(
        "SELECT seq, reason FROM position_ledger WHERE courier_id = $1 AND uplink_id = $2 AND seq > $3"
        " AND reason IS NOT NULL ORDER BY seq LIMIT $4",
        courier_id,
        uplink_id,
        after_seq,
        limit,
    )
    return [(row["seq"], row["reason"]) for row in rows]


async def touch_uplink(connection: Connection, courier_id: UUID, uplink_id: UUID, device_id: str, now: datetime) -> int:
    """Note that the uplink is in use; the highest number that is committed, 0 for a new one."""
    await connection.execute(
        "INSERT INTO position_uplinks AS u (courier_id, uplink_id, device_id, create_time, last_time)"
        " VALUES ($1, $2, $3, $4, $4) ON CONFLICT (courier_id, uplink_id)"
        " DO UPDATE SET last_time = excluded.last_time, device_id = excluded.device_id",
        courier_id,
        uplink_id,
        device_id,
        now,
    )
    value = await connection.fetchval(
        "SELECT max(seq) FROM position_ledger WHERE courier_id = $1 AND uplink_id = $2", courier_id, uplink_id
    )
    return int(value or 0)


async def raise_epoch(connection: Connection, courier_id: UUID, now: datetime) -> int:
    """A new stream of the courier: its epoch, higher than that of all before."""
    return int(
        await connection.fetchval(
            "INSERT INTO courier_streams AS s (courier_id, epoch, open_time) VALUES ($1, 1, $2)"
            " ON CONFLICT (courier_id) DO UPDATE SET epoch = s.epoch + 1, open_time = excluded.open_time"
            " RETURNING epoch",
            courier_id,
            now,
        )
    )


async def read_epochs(connection: Connection, courier_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The newest epoch of each courier."""
    rows = await connection.fetch(
        "SELECT courier_id, epoch FROM courier_streams WHERE courier_id = ANY($1::uuid[])", courier_ids
    )
    return {row["courier_id"]: row["epoch"] for row in rows}


async def promise(connection: Connection, delivery_id: UUID, promised_time: datetime | None) -> Promise:
    """Promise the time unless another was promised before; what was promised first."""
    row = await connection.fetchrow(
        "INSERT INTO delivery_promises AS p (delivery_id, promised_time) VALUES ($1, $2)"  # noqa: S608 - constant columns
        " ON CONFLICT (delivery_id) DO UPDATE SET promised_time = coalesce(p.promised_time, excluded.promised_time)"
        f" RETURNING {_PROMISE.sql}",
        delivery_id,
        promised_time,
    )
    return _PROMISE.optional(row) or Promise(promised_time)


async def is_late(connection: Connection, delivery_id: UUID) -> bool:
    """Whether the delivery's watchers were told that it will be later than promised."""
    return bool(
        await connection.fetchval(
            "SELECT 1 FROM delivery_promises WHERE delivery_id = $1 AND late_time IS NOT NULL", delivery_id
        )
    )


async def note_late(connection: Connection, delivery_id: UUID, now: datetime) -> bool:
    """Note that the delivery is late; False when that was noted before, by whichever worker."""
    tag = await connection.execute(
        "INSERT INTO delivery_promises AS p (delivery_id, late_time) VALUES ($1, $2)"
        " ON CONFLICT (delivery_id) DO UPDATE SET late_time = excluded.late_time WHERE p.late_time IS NULL",
        delivery_id,
        now,
    )
    return tag == "INSERT 0 1"
