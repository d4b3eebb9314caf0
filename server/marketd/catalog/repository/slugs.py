"""Slugs that nobody has yet, in any table that has a `slug`."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.kernel.db.database import Connection


async def free_slug(connection: Connection, table: str, stem: str, own: str = "") -> str:
    """The stem itself, or with the first number that makes it unused by others (`own` is the row's slug so far).

    `table` is a constant, never input. A race for the slug ends in the unique constraint.
    """
    rows = await connection.fetch(
        f"SELECT slug FROM {table} WHERE starts_with(slug, $1) AND slug <> $2",  # noqa: S608 - a constant
        stem,
        own,
    )
    taken = {row["slug"] for row in rows}
    if stem not in taken:
        return stem
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{stem}-{number}") not in taken)


async def taken_slugs(connection: Connection, table: str, slugs: Sequence[str]) -> set[str]:
    """Those of these slugs that are in use. `table` is a constant, never input."""
    rows = await connection.fetch(f"SELECT slug FROM {table} WHERE slug = ANY($1::text[])", list(slugs))  # noqa: S608
    return {row["slug"] for row in rows}
