"""What must hold of positions whatever happened (I11): every acknowledged one is stored exactly once, and live markers
stand at the newest. Read-only; each check gives one sentence for each violation, at most a few.
"""

from __future__ import annotations

from typing import Final

from marketd.kernel.database import Connection

_LIMIT: Final = 20

_STORED_TWICE: Final = """
SELECT courier_id, uplink_id, seq, count(*) AS times FROM position_points
WHERE receive_time > now() - interval '1 day'
GROUP BY courier_id, uplink_id, seq HAVING count(*) > 1 LIMIT $1
"""

# Every number in the ledger without a reason has its point. Old points may have been dropped, so only uplinks whose
# points are all kept are looked at: those made within a day.
_NOT_STORED: Final = """
SELECT l.courier_id, l.uplink_id, l.seq FROM position_uplinks u
JOIN position_ledger l USING (courier_id, uplink_id)
WHERE u.create_time > now() - interval '1 day' AND l.reason IS NULL AND NOT EXISTS (
  SELECT 1 FROM position_points p WHERE p.courier_id = l.courier_id AND p.uplink_id = l.uplink_id AND p.seq = l.seq
    AND p.sample_time > u.create_time - interval '25 hours')
LIMIT $1
"""

_NOT_IN_LEDGER: Final = """
SELECT p.courier_id, p.uplink_id, p.seq FROM position_points p
WHERE p.receive_time > now() - interval '1 day' AND NOT EXISTS (
  SELECT 1 FROM position_ledger l WHERE l.courier_id = p.courier_id AND l.uplink_id = p.uplink_id AND l.seq = p.seq
    AND l.reason IS NULL)
LIMIT $1
"""

# A marker is a stored point of its courier; were it moved back, the point it had been at would be newer than it.
_MARKER_WITHOUT_POINT: Final = """
SELECT m.courier_id FROM courier_latest_positions m
WHERE m.sample_time > now() - interval '1 day' AND NOT EXISTS (
  SELECT 1 FROM position_points p WHERE p.courier_id = m.courier_id AND p.sample_time = m.sample_time)
LIMIT $1
"""

# A point that nothing is odd about moves the marker, in its own transaction, unless it is behind it.
_MARKER_BEHIND: Final = """
SELECT m.courier_id FROM courier_latest_positions m
WHERE m.sample_time > now() - interval '1 day' AND EXISTS (
  SELECT 1 FROM position_points p WHERE p.courier_id = m.courier_id AND p.sample_time > m.sample_time
    AND p.flags = 0)
LIMIT $1
"""


async def check(connection: Connection) -> list[str]:
    """The violations of I11 among what was received within a day; empty when all is well."""
    found = [
        f"position {row['seq']} of uplink {row['uplink_id']} is stored {row['times']} times"
        for row in await connection.fetch(_STORED_TWICE, _LIMIT)
    ]
    for statement, sentence in (
        (_NOT_STORED, "is acknowledged as stored and is not there"),
        (_NOT_IN_LEDGER, "is stored and was never counted"),
    ):
        found += [
            f"position {row['seq']} of uplink {row['uplink_id']} {sentence}"
            for row in await connection.fetch(statement, _LIMIT)
        ]
    for statement, sentence in (
        (_MARKER_WITHOUT_POINT, "stands where no position of theirs was stored"),
        (_MARKER_BEHIND, "has gone back"),
    ):
        found += [
            f"the live marker of courier {row['courier_id']} {sentence}"
            for row in await connection.fetch(statement, _LIMIT)
        ]
    return found
