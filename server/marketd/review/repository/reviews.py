"""The statements over reviews and what they said before."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.auth import service as auth
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.media import service as media
from marketd.media.values import picture_of
from marketd.review.model import MAX_REVISIONS, ReviewKind
from marketd.review.values import Review, ReviewRevision

# ruff: noqa: S608 - every interpolated part is one of the constants here
_PICTURES: Final = (
    f"SELECT jsonb_agg(s.picture ORDER BY s.place) FROM (SELECT m.place, {media.PICTURE_SQL.format(media_id='m.each')}"
    " AS picture FROM unnest(r.media_ids) WITH ORDINALITY m(each, place)) s WHERE s.picture IS NOT NULL"
)
REVIEW: Final = Columns(
    Review,
    table="r",
    expressions={
        "author_name": auth.first_name_sql("r.author_user_id"),
        "pictures": f"CASE WHEN r.media_ids <> '{{}}' THEN ({_PICTURES}) END",
    },
    readers={
        "author_name": lambda name: name or "",
        "pictures": lambda found: tuple(picture for each in found or () if (picture := picture_of(each)) is not None),
    },
    without=("revisions", "reports"),
)
_REVISION: Final = Columns(ReviewRevision)
_READ: Final = f"SELECT {REVIEW.sql} FROM reviews r WHERE r.review_id = $1"
_COLUMNS: Final = tuple(name for name in REVIEW.names if name not in ("author_name", "pictures"))
_CHANGEABLE: Final = (
    "rating",
    "text",
    "media_ids",
    "reply_text",
    "reply_time",
    "state",
    "state_reason",
    "report_count",
    "edit_time",
    "update_time",
    "version",
)
_INSERT: Final = (
    f"INSERT INTO reviews ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join(f'${place}' for place in range(1, len(_COLUMNS) + 1))}) ON CONFLICT DO NOTHING"
)
_SAVE: Final = (
    f"UPDATE reviews SET {', '.join(f'{name} = ${place}' for place, name in enumerate(_CHANGEABLE, start=2))}"
    " WHERE review_id = $1"
)


async def insert(connection: Connection, review: Review) -> bool:
    """Write a new review unless what it is of has one; whether it was written."""
    return await connection.execute(_INSERT, *(_plain(review, name) for name in _COLUMNS)) == "INSERT 0 1"


async def save(connection: Connection, review: Review) -> None:
    """Write what can change of a locked review."""
    await connection.execute(_SAVE, review.review_id, *(_plain(review, name) for name in _CHANGEABLE))


async def delete(connection: Connection, review_id: UUID) -> None:
    """Delete a locked review with its revisions and reports."""
    await connection.execute("DELETE FROM reviews WHERE review_id = $1", review_id)


async def read(connection: Connection, review_id: UUID) -> Review | None:
    """The review with this id."""
    return REVIEW.optional(await connection.fetchrow(_READ, review_id))


async def lock(connection: Connection, review_id: UUID) -> Review | None:
    """The review, locked until the transaction ends; read by a statement of its own, so as it is after a wait."""
    found = await connection.fetchval("SELECT review_id FROM reviews WHERE review_id = $1 FOR UPDATE", review_id)
    return None if found is None else await read(connection, review_id)


async def id_of(connection: Connection, review: Review) -> UUID | None:
    """The id of the review that is there of what this one is of."""
    column = "order_item_id" if review.kind is ReviewKind.PRODUCT else "order_id"
    found: UUID | None = await connection.fetchval(
        f"SELECT review_id FROM reviews WHERE {column} = $1 AND kind = $2", review.bought_id, review.kind.value
    )
    return found


async def add_revision(connection: Connection, before: Review, now: datetime) -> None:
    """Keep what a locked review said until now, and forget what is older than the last MAX_REVISIONS."""
    await connection.execute(
        "INSERT INTO review_revisions (review_id, version, rating, text, image_count, replace_time)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        before.review_id,
        before.version,
        before.rating,
        before.text,
        len(before.media_ids),
        now,
    )
    await connection.execute(
        "DELETE FROM review_revisions WHERE review_id = $1 AND version <= (SELECT version FROM review_revisions"
        f" WHERE review_id = $1 ORDER BY version DESC OFFSET {MAX_REVISIONS} LIMIT 1)",
        before.review_id,
    )


async def read_revisions(connection: Connection, review_id: UUID) -> tuple[ReviewRevision, ...]:
    """What a review said before, newest first."""
    rows = await connection.fetch(
        f"SELECT {_REVISION.sql} FROM review_revisions WHERE review_id = $1 ORDER BY version DESC", review_id
    )
    return tuple(_REVISION.values(rows))


async def lock_of_author(connection: Connection, author_user_id: UUID) -> list[UUID]:
    """All reviews of an account, locked in id order."""
    rows = await connection.fetch(
        "SELECT review_id FROM reviews WHERE author_user_id = $1 ORDER BY review_id FOR UPDATE", author_user_id
    )
    return [row["review_id"] for row in rows]


async def forget_author(connection: Connection, review_ids: list[UUID]) -> None:
    """Take the pictures out of locked reviews, and what they said before."""
    await connection.execute(
        "UPDATE reviews SET media_ids = '{}', version = version + 1 WHERE review_id = ANY($1::uuid[])"
        " AND media_ids <> '{}'",
        review_ids,
    )
    await connection.execute("DELETE FROM review_revisions WHERE review_id = ANY($1::uuid[])", review_ids)


def _plain(review: Review, name: str) -> object:
    value = getattr(review, name)
    return list(value) if isinstance(value, tuple) else value
