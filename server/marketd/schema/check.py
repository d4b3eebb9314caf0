"""A look at a database before it is used: whether it answers, whose it is, and where its schema stands.

What is wrong is one sentence with what to do. A password never stands in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from marketd.schema import revision

_log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 5

# Tables of extensions (PostGIS has some) are nobody's data.
_TABLES_OF_OTHERS: Final = """
SELECT count(*) FROM pg_class AS found
WHERE found.relnamespace = current_schema()::regnamespace AND found.relkind IN ('r', 'p', 'v', 'm')
  AND NOT EXISTS (
    SELECT FROM pg_depend AS owned
    WHERE owned.classid = 'pg_class'::regclass AND owned.objid = found.oid AND owned.deptype = 'e'
  )
"""


# Asked before anything is changed: what the database itself says of it names no way out.
_EXTENSIONS: Final = """
SELECT name, available.name IS NOT NULL AS is_available, at.nspname AS schema,
  at.nspname = ANY(current_schemas(true)) AS is_seen,
  has_database_privilege(current_database(), 'CREATE') AS is_allowed,
  format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user) AS permission
FROM unnest($1::text[]) AS wanted(name)
LEFT JOIN pg_available_extensions AS available USING (name)
LEFT JOIN pg_extension AS made ON made.extname = name
LEFT JOIN pg_namespace AS at ON at.oid = made.extnamespace
ORDER BY name
"""
EXTENSIONS: Final = ("pg_trgm", "unaccent")
"""What the migrations make in the database; both belong to PostgreSQL's additional modules."""


class DatabaseUnfit(Exception):
    """The database cannot be used as it is; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The database's revision (None: empty) and the code's head."""

    current: str | None
    head: str

    @property
    def is_current(self) -> bool:
        """Whether the schema is what this code was made for."""
        return self.current == self.head

    @property
    def is_ahead(self) -> bool:
        """Whether a later version of marketd has migrated it already."""
        return revision.is_later(self.current)

    @property
    def is_foreign(self) -> bool:
        """Whether another application has migrated it."""
        return revision.is_foreign(self.current)


async def look_at(url: str) -> SchemaState:
    """Where the schema of a database stands. Raises DatabaseUnfit: no answer, no entry, or another application's."""
    try:
        connection = await asyncpg.connect(url, timeout=ANSWER_SECONDS, command_timeout=ANSWER_SECONDS)
        try:
            current = await revision.current(connection)
            others = 0 if current is not None else await connection.fetchval(_TABLES_OF_OTHERS)
        finally:
            await connection.close(timeout=ANSWER_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
        raise DatabaseUnfit(in_words(error)) from error
    found = SchemaState(current, revision.head())
    if found.is_foreign:
        raise DatabaseUnfit(
            f"the database's schema is at {current}, which is no revision of marketd's; check MARKETD_DATABASE_URL."
        )
    if others:
        raise DatabaseUnfit(
            "the database holds tables and no schema of marketd's: it is another application's. Give marketd one of "
            "its own in MARKETD_DATABASE_URL."
        )
    return found


async def look_at_migrated(url: str) -> SchemaState:
    """The same for whoever needs the schema: it must be this version's, or a later one's. Raises DatabaseUnfit."""
    found = await look_at(url)
    if not (found.is_current or found.is_ahead):
        raise DatabaseUnfit(
            f"the database's schema is at {found.current or 'nothing'} and this version needs {found.head}; "
            "run `marketd migrate`."
        )
    return found


async def look_before_migrating(url: str, *, is_empty: bool) -> None:
    """Whether the user may make what the migrations make beside tables: a schema, and the extensions of search.

    Raises DatabaseUnfit.
    """
    connection = await asyncpg.connect(url, timeout=ANSWER_SECONDS, command_timeout=ANSWER_SECONDS)
    try:
        rows = await connection.fetch(_EXTENSIONS, list(EXTENSIONS))
    finally:
        await connection.close(timeout=ANSWER_SECONDS)
    missing = [row["name"] for row in rows if row["schema"] is None]
    if absent := [row["name"] for row in rows if row["schema"] is None and not row["is_available"]]:
        raise DatabaseUnfit(
            f"the database's server has no {' and no '.join(absent)}: install PostgreSQL's additional modules there "
            "(the package postgresql-contrib), then run `marketd migrate` again."
        )
    if (missing or is_empty) and not rows[0]["is_allowed"]:
        raise DatabaseUnfit(
            "the user in MARKETD_DATABASE_URL may not make schemas and extensions in the database. As the database's "
            f"owner run `{rows[0]['permission']}`, then `marketd migrate` again."
        )
    if elsewhere := [row for row in rows if row["schema"] is not None and not row["is_seen"]]:
        names, schema = " and ".join(row["name"] for row in elsewhere), elsewhere[0]["schema"]
        raise DatabaseUnfit(
            f"{names} is in the schema {schema}, where the user in MARKETD_DATABASE_URL does not look. Add {schema} to "
            "the user's search_path (ALTER ROLE … SET search_path), then run `marketd migrate` again."
        )


async def check_schema(url: str) -> None:
    """Before anything is served: raises DatabaseUnfit as `look_at_migrated` does, and logs a later version's schema.

    While a new version is rolled out, the one before runs on its schema.
    """
    found = await look_at_migrated(url)
    if found.is_ahead:
        _log.warning("schema_is_newer", schema=found.current, needed=found.head)


def in_words(error: Exception) -> str:
    """Why a connection was not to be had, and what to do."""
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "the database refuses the user or the password in MARKETD_DATABASE_URL."
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return (
            "the server of MARKETD_DATABASE_URL has no database of that name; create it (`createdb`), then run "
            "`marketd migrate`."
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return "the user in MARKETD_DATABASE_URL may not read this database; grant it the rights, or name its owner."
    if isinstance(error, asyncpg.InterfaceError | ValueError):
        return "MARKETD_DATABASE_URL cannot be used as it stands; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    return f"the database does not answer ({type(error).__name__}); check MARKETD_DATABASE_URL and that it runs."
