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
    packaged = Path(__file__).parent / "_migrations"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "migrations"


@cache
def head() -> str:
    """The revision that this code needs: the number of the last migration's file.

    Revisions are numbers of one width, each built on the one before, so they compare as they follow on each other.
    """
    found = [path.stem.partition("_")[0] for path in (scripts() / "versions").glob("[0-9]*.py")]
    if not found:
        raise RuntimeError(f"no migrations in {scripts()}")
    return max(found)


async def current(connection: asyncpg.Connection[asyncpg.Record]) -> str | None:
    """The revision of the connection's database; None for one that was never migrated."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    value: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return value
