"""The way back: a database as it was at a certain moment, again and again, in a few milliseconds."""

from __future__ import annotations

from typing import Final, Self

from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor

_TABLES: Final = """
SELECT c.oid::regclass::text AS name,
  (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
   WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""


class Rewind:
    """Whatever was written since `mark` is undone by `back`. Sequences go on."""

    def __init__(self, script: str) -> None:
        self._script = script

    @classmethod
    async def mark(cls, tx: Transactor) -> Self:
        """Remember what every table holds."""

        async def work(connection: Connection) -> str:
            # No trigger runs, nor those that look after foreign keys: all tables go back together.
            steps = ["SET LOCAL session_replication_role = replica"]
            await connection.execute("CREATE SCHEMA kept")
            for number, row in enumerate(await connection.fetch(_TABLES)):
                name, columns, kept = row["name"], row["columns"], f"kept.t{number}"
                steps.append(f"DELETE FROM {name}")
                if await connection.fetchval(f"SELECT true FROM {name} LIMIT 1"):
                    await connection.execute(f"CREATE TABLE {kept} AS SELECT {columns} FROM {name}")
                    steps.append(f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {kept}")
            return "; ".join(steps)

        return cls(await tx.run("test.mark", lambda uow: work(uow.connection)))

    async def back(self, tx: Transactor) -> None:
        """Go back to it."""
        await tx.run("test.back", lambda uow: uow.connection.execute(self._script))
