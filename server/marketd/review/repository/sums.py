"""The statements over the sums of ratings, and over what was rejected last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.values.ratings import STARS, Rating
from marketd.review.model import ReviewKind

# ruff: noqa: S608 - every interpolated part is one of the constants here
# One statement that waits for its row and then adds to what is there. A row begins with what is added: its CHECK would
# refuse what is taken away even where a row to take it from is there.
_ADD: Final = (
    "INSERT INTO rating_summaries AS s (kind, subject_id, counts) VALUES ($1, $2, $3::int[])"
    " ON CONFLICT (kind, subject_id) DO UPDATE SET counts = ARRAY["
    + ", ".join(f"s.counts[{place}] + ($4::int[])[{place}]" for place in range(1, STARS + 1))
    + "] RETURNING counts"
)


async def add(connection: Connection, kind: ReviewKind, subject_id: UUID, change: Sequence[int]) -> Rating:
    """Add to the counts of 1 to 5 stars, or with a minus sign take away; the sum, its row locked from now on.

    change: five numbers. Takes away only what was added before.
    """
    added = [max(0, each) for each in change]
    return Rating(tuple(await connection.fetchval(_ADD, kind.value, subject_id, added, list(change))))


async def read(connection: Connection, kind: ReviewKind, subject_id: UUID) -> Rating:
    """The sum of what is reviewed; without counts for what nobody has reviewed."""
    counts = await connection.fetchval(
        "SELECT counts FROM rating_summaries WHERE kind = $1 AND subject_id = $2", kind.value, subject_id
    )
    return Rating() if counts is None else Rating(tuple(counts))


async def is_rejected(connection: Connection, kind: ReviewKind, bought_id: UUID) -> bool:
    """Whether what was written last of it, by who bought it, was rejected."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM review_rejections WHERE kind = $1 AND bought_id = $2)", kind.value, bought_id
    )
    return found


async def set_rejected(connection: Connection, kind: ReviewKind, bought_id: UUID, *, rejected: bool) -> None:
    """Write down how an admin has judged last."""
    if rejected:
        statement = "INSERT INTO review_rejections (kind, bought_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
    else:
        statement = "DELETE FROM review_rejections WHERE kind = $1 AND bought_id = $2"
    await connection.execute(statement, kind.value, bought_id)
