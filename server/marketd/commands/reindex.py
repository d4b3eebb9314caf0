"""`marketd reindex`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Annotated, Final

import asyncpg
import typer

from marketd.catalog.search import rebuild, words
from marketd.commands.database import database_of
from marketd.commands.settings import read_settings, say
from marketd.kernel.db.database import Connection

CONNECT_SECONDS: Final = 5
_SAY_SECONDS: Final = 1.0


def command(
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing while it works.")] = False,
) -> None:
    """Make what search reads of the products anew: a document for each, and the counts of the words.

    Search keeps itself up to date; this mends what a restored backup or a change by hand has left wrong. It works in
    small transactions beside a server that serves, may be stopped at any time and begins anew then. The language stays:
    that is changed by a server that starts with another MARKETD_SEARCH_LANGUAGE. Exits 2 when the database cannot be
    read.
    """
    settings = read_settings()
    begun = time.monotonic()
    with database_of(settings) as url:
        count = asyncio.run(reindex_database(url, (lambda _: None) if quiet else _tell, settings.search_language))
    if not quiet:
        say(f"{count:,} products in {time.monotonic() - begun:.1f} s.")


def _tell(said: str) -> None:
    sys.stderr.write(f"{said}\n")
    sys.stderr.flush()


async def reindex_database(url: str, tell: Callable[[str], None], wanted: str = "") -> int:
    """Make everything anew, on a connection of its own; how many products were looked at. `tell` hears how far it is.

    wanted: the language of the settings; where documents are in another one, that is told, for this does not change it.
    Raises OSError and asyncpg's errors when there is no database.
    """
    connection: Connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        language = await rebuild.read_language(connection)
        if wanted not in ("", language):
            tell(f"The language stays {language}; start a server with MARKETD_SEARCH_LANGUAGE={wanted} to change it.")
        total = await rebuild.count_products(connection)
        after, done, told = rebuild.FIRST, 0, time.monotonic()
        while True:
            async with connection.transaction():
                last, count = await rebuild.write_after(connection, after)
            if last is None:
                break
            after, done = last, done + count
            if time.monotonic() - told >= _SAY_SECONDS:
                told = time.monotonic()
                tell(f"{done:,} of {total:,} products")
        tell("counting words")
        async with connection.transaction():
            await words.recount(connection)
        return done
    finally:
        await connection.close()
