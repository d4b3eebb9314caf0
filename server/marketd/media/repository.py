"""Every SQL statement over media and what holds them; those over files are in files.py."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.paging import follow
from marketd.kernel.db.sql import Arguments, Columns
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind, Media, Picture, renditions_of

# ruff: noqa: S608 - every interpolated part is one of the constants here

_MEDIA = Columns(Media, readers={"renditions": renditions_of})
_PICTURE = Columns(Picture, readers={"renditions": renditions_of})

PICTURE_SQL: Final = (
    "(SELECT jsonb_build_object('media_id', media.media_id, 'width', media.width, 'height', media.height,"
    " 'renditions', media.renditions) FROM media WHERE media.media_id = {media_id})"
)

# Renditions stand smallest first.
THUMB_SQL: Final = "(SELECT media.renditions->0 FROM media WHERE media.media_id = {media_id})"

MediaKey: TypeAlias = tuple[datetime | UUID, ...]
"""Where a media stands in a list: its create_time and id."""

ORDERS: Final = ("create_time",)


async def insert(connection: Connection, media: Media, files: Collection[str]) -> bool:
    """Write a new media, which nothing holds yet, and which files are its; False when the owner has it already."""
    tag = await connection.execute(
        "INSERT INTO media (media_id, owner_user_id, purpose, file_name, media_type, size, sha256, width, height,"
        " renditions, kept_size, unheld_time, create_time)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11, $12, $12) ON CONFLICT DO NOTHING",
        media.media_id,
        media.owner_user_id,
        media.purpose.value,
        media.file_name,
        media.media_type,
        media.size,
        media.sha256,
        media.width,
        media.height,
        json.dumps([asdict(one) for one in media.renditions]),
        media.kept_size,
        media.create_time,
    )
    if tag != "INSERT 0 1":
        return False
    await connection.execute(
        "INSERT INTO media_file_uses (name, media_id) SELECT unnest($2::text[]), $1", media.media_id, sorted(files)
    )
    return True


async def read(connection: Connection, media_id: UUID) -> Media | None:
    """The media with this id."""
    return _MEDIA.optional(await connection.fetchrow(f"SELECT {_MEDIA.sql} FROM media WHERE media_id = $1", media_id))


async def lock_same(connection: Connection, owner_user_id: UUID, purpose: Purpose, sha256: str) -> Media | None:
    """The owner's media for this purpose with these bytes, locked until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_MEDIA.sql} FROM media WHERE owner_user_id = $1 AND purpose = $2 AND sha256 = $3 FOR UPDATE",
        owner_user_id,
        purpose.value,
        sha256,
    )
    return _MEDIA.optional(row)


async def begin_anew(connection: Connection, media_id: UUID, before: datetime, now: datetime) -> None:
    """A locked media that nothing has held since before the instant is unheld from now on only."""
    await connection.execute(
        "UPDATE media SET unheld_time = $3 WHERE media_id = $1 AND unheld_time < $2", media_id, before, now
    )


async def has_same(connection: Connection, owner_user_id: UUID, purpose: Purpose, sha256: str) -> bool:
    """Whether the owner has a media for this purpose with these bytes."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM media WHERE owner_user_id = $1 AND purpose = $2 AND sha256 = $3)",
            owner_user_id,
            purpose.value,
            sha256,
        )
    )


async def lock(connection: Connection, media_ids: Collection[UUID]) -> list[Media]:
    """Those of these media that there are, in the order of their ids, locked until the transaction ends."""
    return _MEDIA.values(
        await connection.fetch(
            f"SELECT {_MEDIA.sql} FROM media WHERE media_id = ANY($1::uuid[]) ORDER BY media_id FOR UPDATE",
            list(media_ids),
        )
    )


async def read_pictures(connection: Connection, media_ids: Collection[UUID]) -> Mapping[UUID, Picture]:
    """The pictures of these media by their ids."""
    rows = await connection.fetch(f"SELECT {_PICTURE.sql} FROM media WHERE media_id = ANY($1::uuid[])", list(media_ids))
    return {picture.media_id: picture for picture in _PICTURE.values(rows)}


async def list_page(
    connection: Connection,
    owner_user_id: UUID,
    purposes: Sequence[Purpose],
    after: MediaKey | None,
    limit: int,
    *,
    descending: bool,
) -> list[Media]:
    """The next `limit` media of the owner after the one with that key; of all purposes when none is named."""
    arguments = Arguments()
    conditions = [f"owner_user_id = {arguments.add(owner_user_id)}"]
    if purposes:
        conditions.append(f"purpose = ANY({arguments.add([purpose.value for purpose in purposes])}::text[])")
    tail = follow(arguments, ("create_time", "media_id"), after, limit, conditions, descending=descending)
    return _MEDIA.values(await connection.fetch(f"SELECT {_MEDIA.sql} FROM media{tail}", *arguments))


def cursor_of(media: Media) -> MediaKey:
    """Where the media stands in a list."""
    return (media.create_time, media.media_id)


async def delete(connection: Connection, media: Sequence[Media]) -> None:
    """Delete locked media that nothing holds, and give their owners the room back."""
    await connection.execute("DELETE FROM media WHERE media_id = ANY($1::uuid[])", [one.media_id for one in media])
    # In the order of the owners: two sweeps must not wait for each other.
    for owner_user_id in sorted({one.owner_user_id for one in media}):
        freed = sum(one.kept_size for one in media if one.owner_user_id == owner_user_id)
        await connection.execute(
            "UPDATE media_owners SET used_size = used_size - $2 WHERE owner_user_id = $1", owner_user_id, freed
        )


async def lock_unheld(connection: Connection, before: datetime, limit: int) -> list[Media]:
    """Media that nothing has held since before the instant, locked; those that somebody has locked are left."""
    rows = await connection.fetch(
        f"SELECT {_MEDIA.sql} FROM media WHERE unheld_time < $1 ORDER BY unheld_time LIMIT $2 FOR UPDATE SKIP LOCKED",
        before,
        limit,
    )
    return _MEDIA.values(rows)


async def forget_names(connection: Connection, owner_user_id: UUID) -> None:
    """Take the names that the owner's files had out of all their media."""
    await connection.execute(
        "UPDATE media SET file_name = '' WHERE owner_user_id = $1 AND file_name <> ''", owner_user_id
    )


# -- room


async def lock_owner(connection: Connection, owner_user_id: UUID) -> int:
    """The bytes that the owner's media take; whoever else adds to them waits until the transaction ends."""
    row = await connection.fetchrow(
        "INSERT INTO media_owners AS o (owner_user_id, used_size) VALUES ($1, 0)"
        " ON CONFLICT (owner_user_id) DO UPDATE SET used_size = o.used_size RETURNING used_size",
        owner_user_id,
    )
    return 0 if row is None else int(row["used_size"])


async def add_used(connection: Connection, owner_user_id: UUID, size: int) -> None:
    """The owner's media take so many bytes more."""
    await connection.execute(
        "UPDATE media_owners SET used_size = used_size + $2 WHERE owner_user_id = $1", owner_user_id, size
    )


async def read_used(connection: Connection, owner_user_id: UUID) -> int:
    """The bytes that the owner's media take."""
    found = await connection.fetchval("SELECT used_size FROM media_owners WHERE owner_user_id = $1", owner_user_id)
    return int(found or 0)


# -- holds


async def add_holds(connection: Connection, media_ids: Collection[UUID], holder: Holder) -> None:
    """The holder holds these locked media, too."""
    await connection.execute(
        "INSERT INTO media_holds (media_id, holder_kind, holder_id) SELECT unnest($1::uuid[]), $2, $3"
        " ON CONFLICT DO NOTHING",
        list(media_ids),
        holder.kind.value,
        holder.holder_id,
    )
    await connection.execute(
        "UPDATE media SET unheld_time = NULL WHERE media_id = ANY($1::uuid[]) AND unheld_time IS NOT NULL",
        list(media_ids),
    )


async def held_by(connection: Connection, holder: Holder) -> list[UUID]:
    """What the holder holds."""
    rows = await connection.fetch(
        "SELECT media_id FROM media_holds WHERE holder_id = $1 AND holder_kind = $2",
        holder.holder_id,
        holder.kind.value,
    )
    return [row["media_id"] for row in rows]


async def drop_holds(connection: Connection, media_ids: Collection[UUID], holder: Holder, now: datetime) -> None:
    """The holder lets these locked media go; from now on, those that nothing else holds are unheld."""
    await connection.execute(
        "DELETE FROM media_holds WHERE media_id = ANY($1::uuid[]) AND holder_kind = $2 AND holder_id = $3",
        list(media_ids),
        holder.kind.value,
        holder.holder_id,
    )
    await _count_unheld(connection, media_ids, now)


async def _count_unheld(connection: Connection, media_ids: Collection[UUID], since: datetime) -> None:
    await connection.execute(
        "UPDATE media SET unheld_time = $2 WHERE media_id = ANY($1::uuid[]) AND unheld_time IS NULL"
        " AND NOT EXISTS (SELECT FROM media_holds h WHERE h.media_id = media.media_id)",
        list(media_ids),
        since,
    )


async def held_by_any(connection: Connection, kind: HolderKind, holder_ids: Collection[UUID]) -> list[UUID]:
    """What these holders hold."""
    rows = await connection.fetch(
        "SELECT DISTINCT media_id FROM media_holds WHERE holder_id = ANY($1::uuid[]) AND holder_kind = $2",
        list(holder_ids),
        kind.value,
    )
    return [row["media_id"] for row in rows]


async def drop_all_holds(
    connection: Connection, media_ids: Collection[UUID], kind: HolderKind, holder_ids: Collection[UUID], since: datetime
) -> None:
    """The holders let these locked media go; those that nothing else holds count as unheld since the instant."""
    await connection.execute(
        "DELETE FROM media_holds WHERE media_id = ANY($1::uuid[]) AND holder_kind = $2 AND holder_id = ANY($3::uuid[])",
        list(media_ids),
        kind.value,
        list(holder_ids),
    )
    await _count_unheld(connection, media_ids, since)


async def read_holder_ids(connection: Connection, media_id: UUID, kind: HolderKind) -> list[UUID]:
    """The holders of this kind that the media has."""
    rows = await connection.fetch(
        "SELECT holder_id FROM media_holds WHERE media_id = $1 AND holder_kind = $2", media_id, kind.value
    )
    return [row["holder_id"] for row in rows]


async def read_holder(connection: Connection, media_id: UUID) -> str | None:
    """The kind of one that holds the media; None when nothing does."""
    found: str | None = await connection.fetchval(
        "SELECT holder_kind FROM media_holds WHERE media_id = $1 ORDER BY holder_kind LIMIT 1", media_id
    )
    return found
