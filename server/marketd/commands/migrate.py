"""`marketd migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from marketd.commands.database import database_of
from marketd.commands.settings import read_settings, say
from marketd.schema import migrate


def command(
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing when all is well.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say where the schema stands; exit 1 if behind.")] = False,
) -> None:
    """Bring the database's schema to what this version needs.

    Safe to run twice and from several machines: an advisory lock lets one work at a time. What a later version has
    migrated stays as it is: this version runs on it. It makes no database: one on a server is made by `createdb`, the
    embedded one by `marketd serve`, which also migrates it.
    """
    settings = read_settings()
    with database_of(settings, migrated=False) as url:
        before = migrate.state(url)
        if check:
            say(f"database: {before.current or 'empty'}, this version: {before.head}")
            raise typer.Exit(0 if before.is_current or before.is_ahead else 1)
        after = before if before.is_ahead else migrate.upgrade(url)
    if quiet:
        return
    if after.is_ahead:
        say(f"Schema is at {after.current}; a later version than this one ({after.head}) has migrated it.")
    else:
        say(f"Schema: {before.current or 'empty'} → {after.head}." if not before.is_current else "Schema is current.")
