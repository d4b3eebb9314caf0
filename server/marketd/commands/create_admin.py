"""`marketd create-admin`."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Annotated

import typer

from marketd.auth.operator import create_admin
from marketd.commands.database import database_of
from marketd.commands.settings import fail_line, read_settings, refuse, require_startable, say

# What the contract's e-mail rule takes, near enough: a typing mistake should not become an administrator's login.
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def command(
    email: Annotated[str, typer.Option(help="The administrator's e-mail; they sign in with it.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input (one line).")
    ] = False,
) -> None:
    """Create an administrator, or make an existing account one.

    An account that was no administrator gets this password and loses its sessions and its second factor: whoever
    registered the address first must not become one by waiting. A blocked one is unblocked. A second run changes
    nothing. Without --password-stdin the password is asked for; it never stands on the command line, where others
    could read it.
    """
    settings = read_settings()
    # The pepper and the bcrypt cost go into the hash: with the server's own settings, or the server refuses the login.
    require_startable(settings)
    if not _EMAIL.fullmatch(email):
        refuse("email", email, "is no e-mail address.")
    if not password_stdin and not sys.stdin.isatty():
        fail_line("there is no terminal to ask for the password at; pass it on standard input with --password-stdin.")
        raise typer.Exit(2)
    # Nobody chooses a password for a database that is not there.
    with database_of(settings) as url:
        if password_stdin:
            password = sys.stdin.readline().rstrip("\n")
        else:
            password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        created = asyncio.run(create_admin(settings, url, email, password))
    if created.created or created.promoted:
        say(f"{email} is an administrator now.")
    else:
        say(f"{email} was an administrator already; nothing changed.")
    if settings.admin_totp:
        say(
            "MARKETD_ADMIN_TOTP is on, so the role counts only in sessions with a second factor: sign in, set one up "
            "with EnrollTotp and ConfirmTotp, and sign in again with its code."
        )
