"""`marketd migrate`."""

from __future__ import annotations

from typing import Annotated

import asyncpg
import typer
from sqlalchemy.exc import DBAPIError

from marketd.commands.database import database_of
from marketd.commands.settings import fail_line, read_settings, say
from marketd.schema import migrate


def command(
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing when all is well.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say where the schema stands; exit 1 if behind.")] = False,
) -> None:
    """Bring the database's schema to what this version needs.

    Safe to run twice and from several machines: an advisory lock lets one work at a time. What a later version has
    migrated stays as it is: this version runs on it.
    """
    settings = read_settings()
    with database_of(settings) as url:
        try:
            before = migrate.state(url)
            if before.is_foreign:
                fail_line(f"the schema's revision {before.current} is none of marketd's. Check MARKETD_DATABASE_URL.")
                raise typer.Exit(2)
            if check:
                say(f"database: {before.current or 'empty'}, this version: {before.head}")
                raise typer.Exit(0 if before.is_current or before.is_ahead else 1)
            after = before if before.is_ahead else migrate.upgrade(url)
        except (OSError, asyncpg.PostgresError, DBAPIError) as error:
            fail_line(f"the database does not answer or refuses: {error}. Check MARKETD_DATABASE_URL.")
            raise typer.Exit(2) from None
    if quiet:
        return
    if after.is_ahead:
        say(f"Schema is at {after.current}; a later version than this one ({after.head}) has migrated it.")
    else:
        say(f"Schema: {before.current or 'empty'} → {after.head}." if not before.is_current else "Schema is current.")
