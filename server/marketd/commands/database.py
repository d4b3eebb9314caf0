"""Finding the database for a command: the one that is set, or the embedded one, started or attached to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from sqlalchemy.exc import SQLAlchemyError

from marketd.commands.settings import fail_line
from marketd.config import Settings
from marketd.embedded import EmbeddedPostgres, EmbeddedPostgresError
from marketd.kernel.call.refusals import DatabaseUnavailable, Refusal


@contextmanager
def database_of(settings: Settings) -> Iterator[str]:
    """The database's URL while the block runs. Exits 2 when the embedded one cannot start."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    postgres = EmbeddedPostgres(settings.data_dir / "postgres")
    try:
        postgres.start()
        postgres.ensure_database()
    except EmbeddedPostgresError as error:
        fail_line(str(error))
        raise typer.Exit(2) from None
    try:
        yield postgres.dsn()
    finally:
        postgres.stop()


@contextmanager
def failures_said() -> Iterator[None]:
    """Exits 2 with a line when what the block does is refused, or the database does not answer."""
    try:
        yield
    except (DatabaseUnavailable, OSError, SQLAlchemyError) as error:
        fail_line(f"the database does not answer or is not migrated ({type(error).__name__}); run `marketd migrate`.")
        raise typer.Exit(2) from None
    except Refusal as refusal:
        fail_line(refusal.message)
        raise typer.Exit(2) from None
