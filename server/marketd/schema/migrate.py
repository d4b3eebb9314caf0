"""Schema migrations as functions: where the database stands, where the code stands, and the way between them."""

from __future__ import annotations

import asyncio

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from marketd.schema import revision
from marketd.schema.check import SchemaState, look_before_migrating


def config(url: str) -> Config:
    """Alembic's configuration for a database, without an ini file."""
    configuration = Config()
    configuration.set_main_option("script_location", str(revision.scripts()).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["database_url"] = url
    return configuration


def upgrade(url: str) -> SchemaState:
    """Bring the database to the head, and say where it then stands: a later version may have overtaken this one.

    Runs its own event loop: call it outside of one, or in a thread. Raises DatabaseUnfit, before it changes anything.
    """
    before = state(url)
    if not before.is_current:
        asyncio.run(look_before_migrating(url, is_empty=before.current is None))
    try:
        command.upgrade(config(url), "head")
    except CommandError:
        # Alembic does not know the revision; whether that is a later one, or somebody else's, the state says.
        overtaken = state(url)
        if not overtaken.is_ahead:
            raise
        return overtaken
    return state(url)


def state(url: str) -> SchemaState:
    """Where the database and the code stand."""
    return SchemaState(current=asyncio.run(_current(url)), head=revision.head())


async def _current(url: str) -> str | None:
    connection = await asyncpg.connect(url, timeout=3, command_timeout=5)
    try:
        return await revision.current(connection)
    finally:
        await connection.close()
