"""Finding the database for a command: the one that is set, or the embedded one, started or attached to.

A command makes none, and works on none that it does not fit: it says why in a line and exits 2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from marketd.commands.settings import CONFIGURATION_ERROR, fail_line, require_database_folder
from marketd.config import Settings
from marketd.embedded import EmbeddedPostgres, EmbeddedPostgresError
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import DATABASE_ERRORS, in_short
from marketd.schema.check import DatabaseUnfit, look_at, look_at_migrated


@contextmanager
def database_of(settings: Settings, *, migrated: bool = True) -> Iterator[str]:
    """The URL of a database that answers, is marketd's, and has this version's schema, while the block runs.

    migrated: False where the schema need not be there yet. Exits 2 with a line when there is no such database, and when
    what the block does is refused or fails on the database.
    """
    require_database_folder(settings)
    with _running(settings) as url, _failures_said():
        asyncio.run(look_at_migrated(url) if migrated else look_at(url))
        yield url


@contextmanager
def _running(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    postgres = EmbeddedPostgres(settings.data_dir / "postgres")
    try:
        postgres.start()
        postgres.ensure_database()
    except EmbeddedPostgresError as error:
        raise _refused(str(error)) from None
    try:
        yield postgres.dsn()
    finally:
        postgres.stop()


@contextmanager
def _failures_said() -> Iterator[None]:
    try:
        yield
    except DatabaseUnfit as unfit:
        raise _refused(str(unfit)) from None
    except Refusal as refusal:
        raise _refused(refusal.message) from None
    except DATABASE_ERRORS as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise _refused(f"{error.filename}: {error.strerror}.") from None
        # SQLAlchemy puts the statement into further lines.
        raise _refused(f"the database failed: {in_short(error).splitlines()[0]}") from None


def _refused(text: str) -> typer.Exit:
    fail_line(text)
    return typer.Exit(CONFIGURATION_ERROR)
