"""The migrations make exactly what the models map, from one head, and can be run again."""

from __future__ import annotations

import asyncio

import asyncpg
from alembic import command
from alembic.script import ScriptDirectory
from marketd import migrating


def test_the_migrated_schema_is_what_the_models_map(database_url: str) -> None:
    command.check(migrating.config(database_url))


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(migrating.config("postgresql://")).get_heads()) == 1


def test_upgrading_a_current_database_changes_nothing(database_url: str) -> None:
    assert migrating.state(database_url).is_current
    migrating.upgrade(database_url)
    assert migrating.state(database_url).is_current


def test_every_migration_can_be_taken_back_and_made_again(database_url: str) -> None:
    async def tables() -> set[str]:
        connection = await asyncpg.connect(database_url)
        try:
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        finally:
            await connection.close()
        return {row["tablename"] for row in rows}

    before = asyncio.run(tables())
    command.downgrade(migrating.config(database_url), "base")
    assert asyncio.run(tables()) <= {"alembic_version"}
    migrating.upgrade(database_url)
    assert asyncio.run(tables()) == before
