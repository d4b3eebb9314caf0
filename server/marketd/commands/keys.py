"""`marketd keys`."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from marketd.auth.operator import rotate_keys
from marketd.auth.sessions.keys import SigningKeysUnreadable
from marketd.commands.database import database_of
from marketd.commands.settings import fail_line, read_settings, require_startable, say


class Action(StrEnum):
    """What can be done with the signing keys."""

    ROTATE = "rotate"


def command(
    action: Annotated[Action, typer.Argument(help="rotate: make a new key that signs access tokens.")],
    compromised: Annotated[
        bool,
        typer.Option("--compromised", help="The former keys got out: nothing they signed is good any more."),
    ] = False,
) -> None:
    """Rotate the keys that sign access tokens.

    Servers that run notice by themselves. The new key signs a minute after it was made, when every server knows it;
    the former one verifies for 20 minutes, until the tokens it signed are over, so nobody is signed out. With
    --compromised the former keys are worthless within 12 seconds, and streams that their tokens opened end: whoever is
    signed in gets new tokens by refreshing. A server that has forgotten a stream's token in the meantime lets the
    stream go on until the token ends, 15 minutes at most. MARKETD_SECRET must be the one that the servers run with.
    """
    settings = read_settings()
    # What is written here is sealed with the secret; a weak one must not get in by this door either.
    require_startable(settings)
    with database_of(settings) as url:
        try:
            kid = asyncio.run(rotate_keys(settings, url, at_once=compromised))
        except SigningKeysUnreadable as error:
            fail_line(str(error))
            raise typer.Exit(2) from None
    say(f"{kid} {'signs' if compromised else 'signs in a minute'}.")
