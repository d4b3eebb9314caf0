"""What must hold of positions whatever happened (I11): every acknowledged one is stored exactly once, and live markers
stand at the newest. Read-only; each check gives one sentence for each violation, at most a few.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from marketd.kernel.db.database import Connection

_LIMIT: Final = 20

# $1 is the window of receive times. What is received was sampled at most a day before, which spares old partitions.
_RECENT: Final = "p.receive_time > now() - $1::interval AND p.sample_time > now() - $1::interval - interval '25 hours'"

_STORED_TWICE: Final = f"""
SELECT courier_id, uplink_id, seq, count(*) AS times FROM position_points p WHERE {_RECENT}
GROUP BY courier_id, uplink_id, seq HAVING count(*) > 1 LIMIT $2
"""  # noqa: S608 - constants

# Every number in the ledger without a reason has its point. Points of older uplinks may have been dropped, so only
# those made in the window are looked at. EXCEPT hashes; an anti-join could walk all points of the courier each time.
_NOT_STORED: Final = """
SELECT courier_id, uplink_id, seq FROM position_uplinks u JOIN position_ledger l USING (courier_id, uplink_id)
WHERE u.create_time > now() - $1::interval AND l.reason IS NULL
EXCEPT SELECT courier_id, uplink_id, seq FROM position_points p
WHERE p.sample_time > now() - $1::interval - interval '25 hours'
LIMIT $2
"""

_NOT_IN_LEDGER: Final = f"""
SELECT p.courier_id, p.uplink_id, p.seq FROM position_points p WHERE {_RECENT} AND NOT EXISTS (
  SELECT 1 FROM position_ledger l WHERE l.courier_id = p.courier_id AND l.uplink_id = p.uplink_id AND l.seq = p.seq
    AND l.reason IS NULL)
LIMIT $2
"""  # noqa: S608 - constants

# A marker is a stored point of its courier.
_MARKER_WITHOUT_POINT: Final = """
SELECT m.courier_id FROM courier_latest_positions m
WHERE m.received_time > now() - $1::interval AND NOT EXISTS (
  SELECT 1 FROM position_points p WHERE p.courier_id = m.courier_id AND p.sample_time = m.sample_time)
LIMIT $2
"""

# A point that nothing is odd about moves the marker, in its own transaction, unless it is behind it.
_MARKER_BEHIND: Final = """
SELECT m.courier_id FROM courier_latest_positions m
WHERE m.received_time > now() - $1::interval AND EXISTS (
  SELECT 1 FROM position_points p WHERE p.courier_id = m.courier_id AND p.sample_time > m.sample_time AND p.flags = 0)
LIMIT $2
"""


async def check(connection: Connection, window: timedelta = timedelta(hours=1)) -> list[str]:
    """The violations of I11 among what was received within `window`; empty when all is well."""
    found = [
        f"position {row['seq']} of uplink {row['uplink_id']} is stored {row['times']} times"
        for row in await connection.fetch(_STORED_TWICE, window, _LIMIT)
    ]
    for statement, sentence in (
        (_NOT_STORED, "is acknowledged as stored and is not there"),
        (_NOT_IN_LEDGER, "is stored and was never counted"),
    ):
        found += [
            f"position {row['seq']} of uplink {row['uplink_id']} {sentence}"
            for row in await connection.fetch(statement, window, _LIMIT)
        ]
    for statement, sentence in (
        (_MARKER_WITHOUT_POINT, "stands where no position of theirs was stored"),
        (_MARKER_BEHIND, "has gone back"),
    ):
        found += [
            f"the live marker of courier {row['courier_id']} {sentence}"
            for row in await connection.fetch(statement, window, _LIMIT)
        ]
    return found
