"""The statements over reports."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.review.values import Review, ReviewReport

# ruff: noqa: S608 - every interpolated part is one of the constants here
MOST_READ: Final = 50
_REPORT: Final = Columns(ReviewReport)
# A settled report counts again when what it was about has changed since.
_ADD: Final = """
INSERT INTO review_reports AS o (review_id, user_id, reason, note, create_time) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (review_id, user_id) DO UPDATE
SET reason = excluded.reason, note = excluded.note, create_time = excluded.create_time, settle_time = NULL
WHERE o.settle_time IS NOT NULL AND o.settle_time < $6::timestamptz
"""


async def add(connection: Connection, review: Review, report: ReviewReport) -> bool:
    """Write a report of a locked review; False when the account has reported it already."""
    tag = await connection.execute(
        _ADD,
        review.review_id,
        report.user_id,
        report.reason.value,
        report.note,
        report.create_time,
        review.edit_time,
    )
    if tag == "INSERT 0 0":
        return False
    await connection.execute(
        "UPDATE reviews SET report_count = report_count + 1 WHERE review_id = $1", review.review_id
    )
    return True


async def settle(connection: Connection, review_id: UUID, now: datetime) -> None:
    """Settle all reports of a locked review, whose count the caller writes."""
    await connection.execute(
        "UPDATE review_reports SET settle_time = $2 WHERE review_id = $1 AND settle_time IS NULL", review_id, now
    )


async def read_open(connection: Connection, review_id: UUID) -> tuple[ReviewReport, ...]:
    """The reports of a review that no admin has settled, newest first, at most MOST_READ."""
    rows = await connection.fetch(
        f"SELECT {_REPORT.sql} FROM review_reports WHERE review_id = $1 AND settle_time IS NULL"
        f" ORDER BY create_time DESC, user_id LIMIT {MOST_READ}",
        review_id,
    )
    return tuple(_REPORT.values(rows))


async def forget_notes(connection: Connection, user_id: UUID) -> None:
    """Take out what the account wrote in its reports."""
    await connection.execute("UPDATE review_reports SET note = '' WHERE user_id = $1 AND note <> ''", user_id)
