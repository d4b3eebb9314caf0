"""The look at the schema before anything is served."""

from __future__ import annotations

import asyncpg
import structlog

from marketd.schema import revision

_log = structlog.get_logger(__name__)


class SchemaUnfit(Exception):
    """The database does not answer, or its schema is not for this version; the message says what to do."""


async def check_schema(url: str) -> None:
    """Raises SchemaUnfit unless the database's schema is this version's, or a later one's: a rollout need not stop."""
    try:
        connection = await asyncpg.connect(url, timeout=3, command_timeout=5)
        try:
            current = await revision.current(connection)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SchemaUnfit(
            f"the database does not answer ({type(error).__name__}); check MARKETD_DATABASE_URL and that it runs."
        ) from error
    head = revision.head()
    if revision.is_foreign(current):
        raise SchemaUnfit(
            f"the database's schema is at {current}, which is no revision of marketd's; check MARKETD_DATABASE_URL."
        )
    if revision.is_later(current):
        # While a new version is rolled out, the one before runs on its schema.
        _log.warning("schema_is_newer", schema=current, needed=head)
    elif current != head:
        raise SchemaUnfit(
            f"the database's schema is at {current or 'nothing'} and this version needs {head}; run `marketd migrate`."
        )
