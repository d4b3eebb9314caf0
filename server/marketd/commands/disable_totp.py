"""`marketd disable-totp`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from marketd.commands.database import database_of
from marketd.commands.settings import fail_line, read_settings, require_startable, say
from marketd.kernel.refusals import Refusal
from marketd.operating import disable_totp


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
        except Refusal as refusal:
            fail_line(refusal.message)
            raise typer.Exit(2) from None
        except (OSError, SQLAlchemyError) as error:
            fail_line(
                f"the database does not answer or is not migrated ({type(error).__name__}); run `marketd migrate`."
            )
            raise typer.Exit(2) from None
    say(f"{login} signs in with the password alone now." if removed else f"{login} has no second factor.")
