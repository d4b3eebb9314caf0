"""Schema migrations as functions: where the database stands, where the code stands, and the way between them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import marketd


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The database's revision (None: empty) and the code's head."""

    current: str | None
    head: str

    @property
    def is_current(self) -> bool:
        """Whether the schema is what this code was made for."""
        return self.current == self.head


def scripts() -> Path:
    """The migrations: shipped inside the wheel, or the checkout's own folder."""
    packaged = Path(marketd.__file__).parent / "_migrations"
    return packaged if packaged.exists() else Path(marketd.__file__).parents[2] / "migrations"


def config(url: str) -> Config:
    """Alembic's configuration for a database, without an ini file."""
    configuration = Config()
    configuration.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["database_url"] = url
    return configuration


def upgrade(url: str) -> None:
    """Bring the database to the head. Runs its own event loop: call it outside of one, or in a thread."""
    command.upgrade(config(url), "head")


@cache
def head() -> str:
    """The revision that this code needs."""
    revision = ScriptDirectory.from_config(config("postgresql://")).get_current_head()
    if revision is None:
        raise RuntimeError(f"no migrations in {scripts()}")
    return revision


async def current(url: str) -> str | None:
    """The database's revision; None for a database that was never migrated."""
    connection = await asyncpg.connect(url, timeout=3, command_timeout=5)
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        value: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return value
    finally:
        await connection.close()


def state(url: str) -> SchemaState:
    """Where the database and the code stand."""
    return SchemaState(current=asyncio.run(current(url)), head=head())
