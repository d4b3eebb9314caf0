"""A database that is emptied for the next test is as the migrations made it, or is not used again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.run_emptying import Connection, Emptying, Fresh

_BRAND = """
    INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)
    VALUES (gen_random_uuid(), 'Left', 'left', 'left', '', 1, now(), now())
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """To the test's own database."""
    opened = await asyncpg.connect(database_url)
    yield opened
    opened.terminate()  # it may have been ended from outside


@pytest.fixture
async def emptying(database_url: str) -> AsyncIterator[Emptying]:
    """For the same database, of what it is before the test."""
    made = await Emptying.on(database_url, await Fresh.read(database_url))
    yield made
    await made.close()


async def test_rows_go_and_so_does_whoever_holds_them(
    database_url: str, connection: Connection, emptying: Emptying
) -> None:
    await connection.execute(_BRAND)
    await connection.execute("BEGIN; UPDATE brands SET version = 2")
    assert await emptying.once_more()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    after = await asyncpg.connect(database_url)
    assert await after.fetchval("SELECT count(*) FROM brands") == 0
    await after.close()
    assert await emptying.once_more()


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE left_behind (number int)",
        "CREATE TABLE position_partitions.left_behind PARTITION OF position_points"
        " FOR VALUES FROM ('2030-01-01') TO ('2030-01-02')",
        "ALTER TABLE brands ADD COLUMN left_behind text",
        "ALTER TABLE brands ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE brands DROP CONSTRAINT uq_brands_slug",
        "ALTER TABLE brands ADD CONSTRAINT left_behind CHECK (version > 0)",
        "DROP INDEX ix_brands_create_time",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "CREATE FUNCTION left_behind() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''8MB''', current_database()); END $$",
        "INSERT INTO brands SELECT gen_random_uuid(), repeat(md5(n::text), 9), n::text, n::text, '', 1, now(), now()"
        " FROM generate_series(1, 9000) AS n",
    ],
)
async def test_what_is_not_as_the_migrations_made_it_is_not_used_again(
    connection: Connection, emptying: Emptying, change: str
) -> None:
    await connection.execute(change)
    assert not await emptying.once_more()


async def test_one_whose_emptying_was_cut_off_is_not_used_again(connection: Connection, emptying: Emptying) -> None:
    ended = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
    where = "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    assert await connection.fetchval(f"{ended} {where}") >= 1
    assert not await emptying.once_more()
