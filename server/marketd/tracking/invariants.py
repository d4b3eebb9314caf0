"""What must hold of positions whatever happened (I11): every acknowledged one is stored exactly once, and live markers
stand at the newest. Looked at is what came in within the last hour. A position counts at its sample time, or when it
was received where that is earlier.
"""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

# ruff: noqa: S608 - every interpolated part is one of the constants here
# What is received was sampled at most a day before, which spares old partitions.
_RECENT: Final = "p.receive_time > now() - interval '1 hour' AND p.sample_time > now() - interval '26 hours'"
_COUNTS: Final = "least(p.sample_time, p.receive_time)"
_POSITION: Final = "'position ' || p.seq || ' of uplink ' || p.uplink_id AS id"
_MARKER: Final = "SELECT 'the marker of courier ' || m.courier_id AS id"
_HEARD: Final = "FROM courier_latest_positions m WHERE m.receive_time > now() - interval '1 hour'"

INVARIANTS: Final = (
    Invariant(
        "I11",
        "a position is stored once",
        f"SELECT {_POSITION}, 'is stored ' || count(*) || ' times' AS wrong FROM position_points p WHERE {_RECENT}"
        " GROUP BY p.courier_id, p.uplink_id, p.seq HAVING count(*) > 1",
    ),
    # Points of older uplinks may have been dropped, so only those made in the hour are looked at. EXCEPT hashes; an
    # anti-join could walk all points of the courier each time.
    Invariant(
        "I11",
        "what is acknowledged as stored is there",
        f"SELECT {_POSITION}, 'is not there' AS wrong FROM ("
        "   SELECT l.courier_id, l.uplink_id, l.seq FROM position_uplinks u JOIN position_ledger l"
        "     USING (courier_id, uplink_id)"
        "   WHERE u.create_time > now() - interval '1 hour' AND l.reason IS NULL"
        "   EXCEPT SELECT s.courier_id, s.uplink_id, s.seq FROM position_points s"
        "   WHERE s.sample_time > now() - interval '26 hours') p",
    ),
    Invariant(
        "I11",
        "what is stored was counted",
        f"SELECT {_POSITION}, 'was never counted' AS wrong FROM position_points p WHERE {_RECENT} AND NOT EXISTS ("
        "   SELECT 1 FROM position_ledger l WHERE l.courier_id = p.courier_id AND l.uplink_id = p.uplink_id"
        "   AND l.seq = p.seq AND l.reason IS NULL)",
    ),
    Invariant(
        "I11",
        "a marker is a stored point of its courier",
        f"{_MARKER}, 'stands where no position of theirs was stored' AS wrong {_HEARD} AND NOT EXISTS ("
        f"   SELECT 1 FROM position_points p WHERE p.courier_id = m.courier_id AND {_COUNTS} = m.sample_time"
        "   AND p.sample_time >= m.sample_time AND p.sample_time < m.sample_time + interval '2 minutes')",
    ),
    # A point that nothing is odd about moves the marker, in its own transaction, unless it is behind it.
    Invariant(
        "I11",
        "a marker never goes back",
        f"{_MARKER}, 'has gone back' AS wrong {_HEARD} AND EXISTS (SELECT 1 FROM position_points p"
        f"   WHERE p.courier_id = m.courier_id AND p.sample_time > m.sample_time AND {_COUNTS} > m.sample_time"
        "   AND p.flags = 0)",
    ),
)
