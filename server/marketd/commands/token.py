"""`marketd token`."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import Annotated

import grpc
import typer
from marketplace_client import MarketplaceClient, MarketplaceError, PlainTextRefused

from marketd.commands.settings import fail_line, say
from marketd.commands.target import (
    Ca,
    Plaintext,
    Target,
    Tls,
    credentials_of,
    refuse_plain_text,
)
from marketd.demo.addresses import no_answer


def command(
    login: Annotated[str, typer.Option(help="E-mail address, username or phone.")],
    target: Target,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input (one line).")
    ] = False,
    totp_code: Annotated[str, typer.Option(help="The second factor's code.", show_default="asked for")] = "",
    tls: Tls = False,
    ca: Ca = None,
    plaintext: Plaintext = False,
) -> None:
    """Sign in and print the access token, for a shell: TOKEN=$(marketd token --login you@example.com).

    The password is asked for at the terminal without being shown, or read from standard input when that is no terminal;
    it never stands on the command line, where others could read it. The token ends after a quarter of an hour at most.
    Exits 0 with the token and nothing else on standard output, 1 when the sign-in is refused or nobody answers.
    """
    credentials = credentials_of(tls=tls, ca=ca, plaintext=plaintext)
    can_ask = sys.stdin.isatty() and not password_stdin
    password = getpass.getpass("Password: ") if can_ask else sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail_line("there is no password: standard input is empty.")
        raise typer.Exit(2)
    try:
        try:
            token = asyncio.run(_sign_in(target, credentials, login, password, totp_code, plaintext=plaintext))
        except MarketplaceError as error:
            if error.reason != "TOTP_REQUIRED" or totp_code or not can_ask:
                raise
            code = getpass.getpass("Code of your authenticator: ")
            token = asyncio.run(_sign_in(target, credentials, login, password, code, plaintext=plaintext))
    except PlainTextRefused:
        refuse_plain_text(target)
    except MarketplaceError as error:
        if error.was_dropped and not error.from_server:
            fail_line(no_answer(target, error.message))
            raise typer.Exit(1) from None
        hint = " Give it with --totp-code." if error.reason == "TOTP_REQUIRED" and not can_ask else ""
        fail_line(f"{error.reason or error.code.name}: {' '.join(error.message.split())}{hint}")
        raise typer.Exit(1) from None
    say(token)


async def _sign_in(
    target: str,
    credentials: grpc.ChannelCredentials | None,
    login: str,
    password: str,
    totp_code: str,
    *,
    plaintext: bool,
) -> str:
    async with MarketplaceClient(
        target, credentials=credentials, plaintext=plaintext, user_agent="marketd-token"
    ) as client:
        answer = await client.login(login, password, totp_code=totp_code, device_name="marketd token")
    return answer.tokens.access_token
