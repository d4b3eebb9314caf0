"""The rows of files: which there are in the store, how long an upload keeps them, and which are being removed.

A file is named by its bytes, so what one upload wants to keep another deletion may want to remove. The row decides: an
upload reserves it before it puts the file, and names it in its media within that time; who removes looks first whether
anything names it, with the row locked, marks it, and only then touches the store. An upload that finds the mark waits
until row and file are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from marketd.kernel.db.database import Connection


async def reserve(connection: Connection, files: Mapping[str, int], until: datetime) -> bool:
    """Keep files of these names and sizes until then; False when some are being removed now."""
    names = sorted(files)
    rows = await connection.fetch(
        "INSERT INTO media_files AS f (name, size, keep_until)"
        " SELECT n.name, n.size, $3 FROM unnest($1::text[], $2::bigint[]) AS n(name, size) ORDER BY n.name"
        " ON CONFLICT (name) DO UPDATE SET keep_until = greatest(f.keep_until, excluded.keep_until)"
        " WHERE f.remove_time IS NULL RETURNING name",
        names,
        [files[name] for name in names],
        until,
    )
    return len(rows) == len(names)


async def lock_kept(connection: Connection, names: Collection[str]) -> bool:
    """Keep these files from being removed until the transaction ends; False when one is gone or going."""
    rows = await connection.fetch(
        "SELECT name FROM media_files WHERE name = ANY($1::text[]) AND remove_time IS NULL ORDER BY name FOR KEY SHARE",
        list(names),
    )
    return len(rows) == len(set(names))


async def judge_again(connection: Connection, media_ids: Collection[UUID], now: datetime) -> None:
    """The files of these media, which are about to go, are looked at again by `mark_unnamed`."""
    await connection.execute(
        "UPDATE media_files f SET keep_until = $2 FROM ("
        "  SELECT name FROM media_files WHERE keep_until IS NULL"
        "  AND name IN (SELECT name FROM media_file_uses WHERE media_id = ANY($1::uuid[]))"
        "  ORDER BY name FOR NO KEY UPDATE"
        ") AS named WHERE named.name = f.name",
        list(media_ids),
        now,
    )


async def mark_unnamed(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Mark files that no media names and no upload keeps; those that are to be removed now.

    Of what was marked an hour ago and is still there, the removal has failed, and it is given once more.
    """
    rows = await connection.fetch(
        "SELECT name FROM media_files WHERE keep_until <= $1 ORDER BY name LIMIT $2 FOR UPDATE SKIP LOCKED", now, limit
    )
    names = [row["name"] for row in rows]
    if not names:
        return []
    # A statement of its own, behind the locks: it sees what was committed before they were ours.
    await connection.execute(
        "UPDATE media_files f SET keep_until = CASE WHEN named THEN NULL ELSE $2::timestamptz + interval '1 hour' END,"
        " remove_time = CASE WHEN named THEN NULL ELSE $2::timestamptz END"
        " FROM (SELECT name, EXISTS (SELECT FROM media_file_uses u WHERE u.name = n.name) AS named"
        "   FROM unnest($1::text[]) AS n(name)) AS judged WHERE judged.name = f.name",
        names,
        now,
    )
    marked = await connection.fetch(
        "SELECT name FROM media_files WHERE name = ANY($1::text[]) AND remove_time = $2 ORDER BY name", names, now
    )
    return [row["name"] for row in marked]


async def still_marked(connection: Connection, names: Sequence[str], time: datetime) -> list[str]:
    """Which of these files are still to be removed by who marked them at that time.

    A removal that comes twice must not take a file away that has been uploaded again in between.
    """
    rows = await connection.fetch(
        "SELECT name FROM media_files WHERE name = ANY($1::text[]) AND remove_time = $2", list(names), time
    )
    return [row["name"] for row in rows]


async def forget(connection: Connection, names: Sequence[str]) -> None:
    """The rows of marked files that are removed go."""
    await connection.execute(
        "DELETE FROM media_files WHERE name IN"
        " (SELECT name FROM media_files WHERE name = ANY($1::text[]) AND remove_time IS NOT NULL ORDER BY name"
        "  FOR UPDATE)",
        list(names),
    )
