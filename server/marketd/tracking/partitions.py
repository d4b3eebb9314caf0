"""The partitions of position_points: one for each day (UTC) of sample times, made ahead and dropped when their time is
over. What no day's partition takes falls into the default one, and moves when its day's partition is made.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import structlog

from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork

_log = structlog.get_logger(__name__)

SCHEMA: Final = "position_partitions"
_PREFIX: Final = "position_points_"
_DEFAULT: Final = f"{SCHEMA}.{_PREFIX}default"
# Any fixed number; it keeps workers from making the same partition at once.
_LOCK: Final = 7_201_977_202
_DAYS_BACK: Final = 1
_DAYS_AHEAD: Final = 2
_LEDGER_BATCH: Final = 10_000


async def ensure(uow: UnitOfWork) -> list[date]:
    """Make the partitions from yesterday to the day after tomorrow that are missing; which ones were made.

    A partition is made beside the table and then attached, which does not stop those who write to the others.
    """
    today = uow.now.astimezone(UTC).date()
    wanted = [today + timedelta(days=offset) for offset in range(-_DAYS_BACK, _DAYS_AHEAD + 1)]
    if set(wanted) <= set(await _days(uow)):
        return []  # the usual case, without a lock
    await uow.connection.execute("SET LOCAL lock_timeout = '2s'")
    await uow.connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    there = set(await _days(uow))
    made = [day for day in wanted if day not in there]
    for day in made:
        await _make(uow, day)
    return made


async def drop_old(uow: UnitOfWork, keep: timedelta) -> list[date]:
    """Drop the partitions whose whole day is older than `keep`, and such points in the default one; which days went."""
    await uow.connection.execute("SET LOCAL lock_timeout = '500ms'")
    await uow.connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    oldest = uow.now - keep
    gone = [day for day in await _days(uow) if _start(day + timedelta(days=1)) <= oldest]
    for day in gone:
        await uow.connection.execute(f"DROP TABLE {_name(day)}")
    await uow.connection.execute(f"DELETE FROM {_DEFAULT} WHERE sample_time < $1", oldest)  # noqa: S608 - constant
    return gone


async def forget_uplinks(uow: UnitOfWork, keep: timedelta) -> int:
    """Forget the numbers of uplinks that nobody has used for `keep`, a batch at a time; how many numbers went.

    While an uplink is in use all its numbers stay, so that none is stored twice.
    """
    tag = await uow.connection.execute(
        "DELETE FROM position_ledger WHERE ctid = ANY(ARRAY(SELECT l.ctid FROM position_uplinks u"
        " JOIN position_ledger l USING (courier_id, uplink_id) WHERE u.last_time < $1 LIMIT $2))",
        uow.now - keep,
        _LEDGER_BATCH,
    )
    count = int(tag.rsplit(" ", 1)[-1])
    if count == 0:
        await uow.connection.execute("DELETE FROM position_uplinks WHERE last_time < $1", uow.now - keep)
    return count


async def keep_house(tx: Transactor, retention: timedelta) -> None:
    """One round: make partitions ahead, drop what is over. Raises what the database refuses.

    No caller needs it to succeed: until a later round does, the default partition takes what has no day. Two days ahead
    are made, so a missed round is no harm.
    """
    made = await tx.run("tracking.partitions", ensure, seconds=30.0)
    gone = await tx.run("tracking.retention", lambda uow: drop_old(uow, retention), seconds=30.0)
    while await tx.run("tracking.forget", lambda uow: forget_uplinks(uow, retention), seconds=30.0):
        pass
    if made or gone:
        _log.debug("position_partitions", made=len(made), dropped=len(gone))


async def _days(uow: UnitOfWork) -> list[date]:
    """The days that have a partition."""
    rows = await uow.connection.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'position_points'::regclass ORDER BY c.relname"
    )
    names = [row["relname"].removeprefix(_PREFIX) for row in rows]
    return [datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).date() for name in names if name.isdigit()]


async def _make(uow: UnitOfWork, day: date) -> None:
    start, end = _start(day).isoformat(), _start(day + timedelta(days=1)).isoformat()
    name = _name(day)
    await uow.connection.execute(
        f"CREATE TABLE {name} (LIKE position_points INCLUDING ALL);"  # noqa: S608 - a name and instants of our own making
        # A day that comes late: its points lie in the default partition, which must not hold them at the attach.
        f" LOCK TABLE {_DEFAULT} IN ACCESS EXCLUSIVE MODE;"
        f" WITH moved AS (DELETE FROM {_DEFAULT} WHERE sample_time >= '{start}' AND sample_time < '{end}' RETURNING *)"
        f" INSERT INTO {name} SELECT * FROM moved;"
        f" ALTER TABLE position_points ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"
    )


def _name(day: date) -> str:
    return f"{SCHEMA}.{_PREFIX}{day:%Y%m%d}"


def _start(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
