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
    mocked: bool
    battery_percent: int | None
    flags: int
    reason: int | None


_PROMISE: Final = Columns(Promise, table="p", expressions={"late": "p.late_time IS NOT NULL"})

# One statement for a whole batch: the ledger's key decides what is new, in key order so that two workers cannot
# deadlock, and only what is new is stored. The answer is the duplicates, which are rare.
_STORE: Final = """
WITH incoming AS (
  SELECT ($1::uuid[])[i.which] AS courier_id, ($2::uuid[])[i.which] AS uplink_id, i.*
  FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::float8[], $8::float8[], $9::float8[],
              $10::float8[], $11::float8[], $12::bool[], $13::smallint[], $14::smallint[], $15::smallint[])
    AS i(which, seq, sample_micros, receive_micros, latitude, longitude, accuracy_meters,
         speed_mps, heading_degrees, mocked, battery_percent, flags, reason)
), fresh AS (
  INSERT INTO position_ledger (courier_id, uplink_id, seq, reason)
  SELECT courier_id, uplink_id, seq, reason FROM incoming ORDER BY courier_id, uplink_id, seq
  ON CONFLICT DO NOTHING
  RETURNING courier_id, uplink_id, seq
), stored AS (
  INSERT INTO position_points (courier_id, uplink_id, seq, sample_time, receive_time, latitude, longitude,
    accuracy_meters, speed_mps, heading_degrees, mocked, battery_percent, flags)
  SELECT courier_id, uplink_id, seq,
    timestamptz 'epoch' + sample_micros * interval '1 microsecond',
    timestamptz 'epoch' + receive_micros * interval '1 microsecond',
    latitude, longitude, accuracy_meters, speed_mps, heading_degrees, mocked, battery_percent, flags
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
    if not rows:
        return []
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


async def known_among(connection: Connection, courier_id: UUID, uplink_id: UUID, seqs: Sequence[int]) -> frozenset[int]:
    """Those of the numbers that are in the ledger."""
    rows = await connection.fetch(
        "SELECT seq FROM position_ledger WHERE courier_id = $1 AND uplink_id = $2 AND seq = ANY($3::bigint[])",
        courier_id,
        uplink_id,
        seqs,
    )
    return frozenset(row["seq"] for row in rows)


# Above this many ranges of numbers that one uplink's row keeps, the lower half becomes one range.
MAX_RANGES: Final = 256

_NOTE_RANGES: Final = """
INSERT INTO position_uplinks AS u (courier_id, uplink_id, device_id, create_time, last_time, passed_over)
SELECT $1, $2, '', $5, $5, range_agg(int8range(r.first, r.last, '[]'))
FROM unnest($3::bigint[], $4::bigint[]) r(first, last)
ON CONFLICT (courier_id, uplink_id) DO UPDATE SET passed_over = u.passed_over + excluded.passed_over
RETURNING (SELECT count(*) FROM unnest(u.passed_over))
"""

_CLOSE_GAPS: Final = """
UPDATE position_uplinks SET passed_over = passed_over + (
  SELECT int8multirange(range_merge(range_agg(r))) FROM (SELECT r FROM unnest(passed_over) r ORDER BY r LIMIT $3) lower)
WHERE courier_id = $1 AND uplink_id = $2
"""


async def pass_over(
    connection: Connection, courier_id: UUID, uplink_id: UUID, ranges: Sequence[tuple[int, int]], now: datetime
) -> None:
    """Note numbers that are rejected without a row of their own, as (first, last). No row grows without bound: above
    `MAX_RANGES`, numbers between two ranges count as passed over too, unless the ledger has them.
    """
    firsts, lasts = zip(*ranges, strict=True)
    count = await connection.fetchval(_NOTE_RANGES, courier_id, uplink_id, list(firsts), list(lasts), now)
    if count > MAX_RANGES:
        await connection.execute(_CLOSE_GAPS, courier_id, uplink_id, count - MAX_RANGES // 2)


async def passed_over_after(
    connection: Connection, courier_id: UUID, uplink_id: UUID, after_seq: int, limit: int
) -> list[int]:
    """The lowest numbers above `after_seq` that were passed over, those among them that were stored later as well."""
    rows = await connection.fetch(
        "SELECT greatest(lower(r), $3::bigint + 1) AS first, upper(r) AS after"
        " FROM position_uplinks, unnest(passed_over) r"
        " WHERE courier_id = $1 AND uplink_id = $2 AND upper(r) > $3::bigint + 1 ORDER BY r",
        courier_id,
        uplink_id,
        min(after_seq, 2**63 - 2),
    )
    found: list[int] = []
    for row in rows:
        found.extend(range(row["first"], min(row["after"], row["first"] + limit - len(found))))
    return found


async def forget_passed_over(connection: Connection, courier_id: UUID, uplink_id: UUID, heard_seq: int) -> None:
    """The client has heard what became of the numbers up to this one. The highest stays: it was received."""
    await connection.execute(
        "UPDATE position_uplinks SET passed_over = passed_over"
        " - int8multirange(int8range(NULL, least($3::bigint, upper(passed_over) - 2), '[]'))"
        " WHERE courier_id = $1 AND uplink_id = $2 AND lower(passed_over) <= least($3::bigint, upper(passed_over) - 2)",
        courier_id,
        uplink_id,
        heard_seq,
    )


async def touch_uplink(connection: Connection, courier_id: UUID, uplink_id: UUID, device_id: str, now: datetime) -> int:
    """Note that the uplink is in use; the highest number that is committed or passed over, 0 for a new one."""
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
        "SELECT greatest((SELECT max(seq) FROM position_ledger WHERE courier_id = $1 AND uplink_id = $2),"
        " (SELECT upper(passed_over) - 1 FROM position_uplinks WHERE courier_id = $1 AND uplink_id = $2))",
        courier_id,
        uplink_id,
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


async def promise(connection: Connection, delivery_id: UUID, due_time: datetime | None) -> Promise:
    """Promise the time unless another was promised before; what was promised first."""
    row = await connection.fetchrow(
        "INSERT INTO delivery_promises AS p (delivery_id, due_time) VALUES ($1, $2)"  # noqa: S608 - constant columns
        " ON CONFLICT (delivery_id) DO UPDATE SET due_time = coalesce(p.due_time, excluded.due_time)"
        f" RETURNING {_PROMISE.sql}",
        delivery_id,
        due_time,
    )
    return _PROMISE.optional(row) or Promise(due_time)


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
