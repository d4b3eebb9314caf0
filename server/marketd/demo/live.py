"""The process beside `marketd serve --demo`: seeds demo data, says how to play with it, and lets couriers deliver.

The supervisor starts it once the server serves: `python -m marketd.demo.live --target … --parent … --ready-fd …`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError
from rich.console import Console

from marketd.demo.addresses import reachable
from marketd.demo.customers import write_reviews
from marketd.demo.defaults import ADMIN_EMAIL, PASSWORD, SLIP
from marketd.demo.guide import show
from marketd.demo.pictures import decorate
from marketd.demo.records import CheckFailed
from marketd.demo.seed import SeededLogins, seed
from marketd.demo.simulation import simulate
from marketd.process import parent as lifetimes

_ADMIN_SECONDS = 60.0
_SEED_ATTEMPTS = 10
_SEED_PAUSE_SECONDS = 1.0
_SEARCH_SECONDS = 20.0
_SEARCH_LOOK_SECONDS = 0.1
_FURNISH_ATTEMPTS = 30
_LONGEST_PAUSE_SECONDS = 15.0


def ensure_admin(email: str, password: str) -> None:
    """Make the demo's admin with the command that makes any; it reads the database's URL from the environment.

    Raises CheckFailed when the command does not succeed.
    """
    result = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "marketd", "create-admin", "--email", email, "--password-stdin"],
        input=password + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=_ADMIN_SECONDS,
    )
    if result.returncode:
        raise CheckFailed(f"the demo's admin could not be made: {result.stderr.strip() or result.stdout.strip()}")


async def _seed(target: str, email: str, password: str) -> SeededLogins:
    """Seed, patiently: a worker may just be starting again."""
    for _ in range(_SEED_ATTEMPTS - 1):
        try:
            return await _made(target, email, password)
        except MarketplaceError as error:
            if not error.was_dropped and error.code.name != "DEADLINE_EXCEEDED":
                raise
        await asyncio.sleep(_SEED_PAUSE_SECONDS)
    return await _made(target, email, password)


async def _made(target: str, email: str, password: str) -> SeededLogins:
    logins = await seed(target, email, password)
    await _until_searched(target)
    return logins


async def _until_searched(target: str) -> None:
    """Wait until search knows the words of what was seeded: they are counted behind it, and a command that is printed
    has a slip in it.
    """
    query = catalog_service_pb2.SearchProductsRequest(query=SLIP, page_size=1)
    end = time.monotonic() + _SEARCH_SECONDS
    async with MarketplaceClient(target, plaintext=True, user_agent="marketd-demo") as client:
        while time.monotonic() < end:
            with suppress(MarketplaceError):
                if (await client.catalog.SearchProducts(query)).corrected_query:
                    return
            await asyncio.sleep(_SEARCH_LOOK_SECONDS)


async def run(target: str, email: str, password: str, console: Console, gateway: str = "") -> None:
    """Seed, tell, and simulate until SIGTERM, SIGINT or SIGQUIT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, stop.set)
    ending = asyncio.create_task(stop.wait())
    seeding = asyncio.create_task(_seed(target, email, password))
    await asyncio.wait((ending, seeding), return_when=asyncio.FIRST_COMPLETED)
    if not seeding.done():
        seeding.cancel()
        await asyncio.wait((seeding,))
        return
    logins = seeding.result()
    show(console, target, logins, gateway)
    # Beside all else: nobody waits for these to begin.
    furnishing = asyncio.create_task(_furnish(target, logins, console))
    await simulate(target, logins, stop)
    await ending
    furnishing.cancel()
    await asyncio.wait((furnishing,))


async def _furnish(target: str, logins: SeededLogins, console: Console) -> None:
    """Hang the pictures and have the reviews written, patiently: a machine that has just started has much to do."""
    for work, failed in ((decorate, "The shops' pictures could not be hung"), (write_reviews, "Reviews are missing")):
        for attempt in range(1, _FURNISH_ATTEMPTS + 1):
            try:
                await work(target, logins)
                break
            except MarketplaceError as error:
                if attempt == _FURNISH_ATTEMPTS:
                    console.print(f"{failed}: {error}")
            await asyncio.sleep(min(attempt * _SEED_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS))


def command(
    target: Annotated[str, typer.Option()],
    parent: Annotated[int, typer.Option()],
    gateway: Annotated[str, typer.Option(help="Where its page is; empty without one.")] = "",
    ready_fd: Annotated[int | None, typer.Option()] = None,
    admin_email: Annotated[str, typer.Option(envvar="MARKETD_ADMIN_EMAIL")] = ADMIN_EMAIL,
    admin_password: Annotated[str, typer.Option(envvar="MARKETD_ADMIN_PASSWORD")] = PASSWORD,
) -> None:
    """Seed demo data and simulate couriers against the server at TARGET."""
    lifetimes.end_with_parent(parent)
    if ready_fd is not None:
        os.close(ready_fd)
    console = Console(soft_wrap=True)
    scheme, _, where = gateway.partition("://")
    page = f"{scheme}://{reachable(where)}" if gateway else ""
    console.print("Adding demo data …")
    try:
        ensure_admin(admin_email, admin_password)
        asyncio.run(run(reachable(target), admin_email, admin_password, console, page))
    except (CheckFailed, MarketplaceError) as error:
        typer.echo(f"marketd demo: {error}", err=True)
        raise typer.Exit(1) from None


def main() -> None:
    """The entry point."""
    typer.run(command)


if __name__ == "__main__":
    main()
