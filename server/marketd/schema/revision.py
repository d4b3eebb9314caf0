"""The schema that this code is made for.

Every process asks and few migrate: alembic stays out of here, and so does whatever the supervisor does without.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg


def scripts() -> Path:
    """The migrations: shipped inside the wheel, or the checkout's own folder."""
    packaged = Path(__file__).parents[1] / "_migrations"
    return packaged if packaged.exists() else Path(__file__).parents[3] / "migrations"


@cache
def head() -> str:
    """The revision that this code needs: the number of the last migration's file.

    Revisions are numbers of one width, each built on the one before, so they compare as they follow on each other.
    """
    return max(_revisions())


@cache
def _revisions() -> frozenset[str]:
    found = frozenset(path.stem.partition("_")[0] for path in (scripts() / "versions").glob("[0-9]*.py"))
    if not found:
        raise RuntimeError(f"no migrations in {scripts()}")
    return found


def is_later(revision: str | None) -> bool:
    """Whether a later version of marketd has made it: a number like ours, and higher."""
    if revision is None or not (revision.isascii() and revision.isdigit() and len(revision) == len(head())):
        return False
    return revision > head()


def is_foreign(revision: str | None) -> bool:
    """Whether it is none of marketd's, so that the database is another application's."""
    return revision is not None and revision not in _revisions() and not is_later(revision)


async def current(connection: asyncpg.Connection[asyncpg.Record]) -> str | None:
    """The revision of the connection's database; None for one that was never migrated.

    Where it has several, as other applications may, they come as one text that is none of marketd's.
    """
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    value: str | None = await connection.fetchval(
        "SELECT string_agg(version_num, ' ' ORDER BY version_num) FROM alembic_version"
    )
    return value
