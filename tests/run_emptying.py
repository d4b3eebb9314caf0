"""How a test's database becomes again what the migrations made it, which takes a fraction of making another one.

Only rows are removed. Where a test has changed anything else (a table, a partition, an index, a setting, a row that a
migration wrote), or has left megabytes, the database is no longer used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg

# Dead rows are passed over by every scan until a table is rewritten.
_MOST_TURNS: Final = 30
_MOST_BYTES: Final = 2_000_000

# What asyncpg raises for a connection that was ended from outside: which, depends on how far the news has come.
_CUT_OFF: Final = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

# Whoever the test left behind would hold locks, or go on writing.
_PART: Final = """
    SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_SHAPE: Final = """
    WITH ours AS MATERIALIZED (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'),
    tables AS MATERIALIZED (
        SELECT oid, relname, reloptions, relkind FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
    )
    SELECT concat_ws(' ',
        (SELECT sum(hashtext(concat(relname, reloptions))) FROM tables),
        (SELECT sum(hashtext(concat(attname, attnum, atttypid, attnotnull, atthasdef))) FROM pg_attribute
         WHERE attrelid IN (SELECT oid FROM tables WHERE relkind IN ('r', 'p', 'v'))),
        (SELECT sum(hashtext(concat(conname, convalidated))) FROM pg_constraint
         WHERE connamespace IN (SELECT oid FROM ours)),
        (SELECT sum(hashtext(concat(tgname, tgenabled))) FROM pg_trigger WHERE NOT tgisinternal),
        (SELECT count(*) FROM pg_index WHERE indrelid IN (SELECT oid FROM tables) AND indisvalid),
        (SELECT sum(hashtext(concat(proname, prosrc))) FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)),
        (SELECT sum(hashtext(concat(setconfig))) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
         WHERE datname = current_database()))
"""
# A table that takes no room has no rows.
_FILLED: Final = """
    SELECT name, bytes FROM (
        SELECT oid::regclass::text AS name, (pg_stat_file(pg_relation_filepath(oid), true)).size AS bytes
        FROM pg_class WHERE relkind = 'r'
            AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$')
    ) AS files WHERE bytes > 0
"""
_RESTART: Final = """
    SELECT setval(seqrelid, seqstart, false) FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Fresh:
    """What the migrations made."""

    shape: str
    rows: str
    """Those that they wrote, all tables in one text."""
    tables: frozenset[str]
    """Where those are."""

    @classmethod
    async def read(cls, dsn: str) -> Fresh:
        """From a database that nobody has used."""
        connection = await asyncpg.connect(dsn)
        try:
            filled = [name for name, _ in await connection.fetch(_FILLED)]
            tables = frozenset(
                [name for name in filled if await connection.fetchval(f"SELECT true FROM {name} LIMIT 1")]
            )
            return cls(await connection.fetchval(_SHAPE), await _rows(connection, tables), tables)
        finally:
            await connection.close()


async def _rows(connection: Connection, tables: frozenset[str]) -> str:
    each = " UNION ALL ".join(f"SELECT '{name}' || each::text AS line FROM {name} AS each" for name in sorted(tables))
    return str(await connection.fetchval(f"SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM ({each}) AS rows"))


class Emptying:
    """Empties one database, again and again."""

    def __init__(self, connection: Connection, fresh: Fresh) -> None:
        self._connection = connection
        self._fresh = fresh
        self._turns = 0

    @classmethod
    async def on(cls, dsn: str, fresh: Fresh) -> Emptying:
        """For the database at this address; `fresh` says what it was."""
        # No trigger runs, nor those that look after foreign keys: what they protect goes too.
        connection = await asyncpg.connect(dsn, server_settings={"session_replication_role": "replica"})
        return cls(connection, fresh)

    async def once_more(self) -> bool:
        """Empty it; False when it is not to be used again."""
        self._turns += 1
        if self._turns > _MOST_TURNS:
            return False
        try:
            return await self._empty()
        except _CUT_OFF:
            return False  # a test that ends all connections to its database ended this one too

    async def _empty(self) -> bool:
        connection, fresh = self._connection, self._fresh
        await connection.execute(_PART)
        if await connection.fetchval(_SHAPE) != fresh.shape:
            return False
        filled = {row["name"]: row["bytes"] for row in await connection.fetch(_FILLED)}
        if sum(filled.values()) > _MOST_BYTES:
            return False
        if used := filled.keys() - fresh.tables:
            await connection.execute(";".join(f"DELETE FROM ONLY {name}" for name in sorted(used)))
        await connection.execute(_RESTART)
        return await _rows(connection, fresh.tables) == fresh.rows

    async def close(self) -> None:
        """Hang up, on a connection that a test may have ended."""
        try:
            await self._connection.close()
        except _CUT_OFF:
            self._connection.terminate()
