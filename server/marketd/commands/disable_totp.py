"""`marketd disable-totp`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from marketd.auth.operator import disable_totp
from marketd.commands.database import database_of
from marketd.commands.settings import read_settings, refuse, require_startable, say
from marketd.kernel.call.refusals import NotFound


def command(
    login: Annotated[str, typer.Option(help="Their e-mail address, username or phone.")],
) -> None:
    """Remove the second factor of somebody who lost their authenticator and their recovery codes.

    Make sure first that it is them who ask. Their sessions end, they get a letter, and the password alone signs in
    again; who may not know the password any more asks for a new one first.
    """
    settings = read_settings()
    # The letter is sealed with the servers' secret.
    require_startable(settings)
    with database_of(settings) as url:
        try:
            removed = asyncio.run(disable_totp(settings, url, login))
        except NotFound as nobody:
            refuse("login", login, nobody.message)
    say(f"{login} signs in with the password alone now." if removed else f"{login} has no second factor.")
