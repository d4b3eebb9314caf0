"""`marketd demo`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from marketplace_client import MarketplaceError, PlainTextRefused
from marketplace_client.channel import is_this_machine
from rich.console import Console

from marketd.commands.settings import fail_line, say
from marketd.commands.target import (
    Ca,
    Plaintext,
    Target,
    Tls,
    credentials_of,
    refuse_plain_text,
)
from marketd.demo.defaults import ADMIN_EMAIL, PASSWORD, PRODUCTS, TRACE
from marketd.demo.presentation import screen_for
from marketd.demo.records import CheckFailed, DemoOptions
from marketd.demo.steps import run_demo
from marketd.demo.watch_live import watch_live

# From SERVING on, `serve --demo` needs a few seconds for its data; a busy machine takes its time.
_PATIENCE_SECONDS = 30.0
_STOPPED = 128 + signal.SIGINT


def command(
    target: Target,
    products: Annotated[
        Path, typer.Option(help="A Shopify product export (CSV).", show_default="own demo data")
    ] = PRODUCTS,
    trace: Annotated[
        Path,
        typer.Option(
            help="A recorded ride: GeoLife .plt, GPX, or CSV with latitude, longitude, time.",
            show_default="own demo ride",
        ),
    ] = TRACE,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0, help="Times faster than recorded; 0 does not wait.", show_default="so that it lasts about 15 s"
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Play nothing: watch a delivery that is on its way, live.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a step, the summary last.")] = False,
    admin_email: Annotated[
        str, typer.Option(envvar="MARKETD_ADMIN_EMAIL", help="The admin to sign in as.")
    ] = ADMIN_EMAIL,
    admin_password: Annotated[
        str,
        typer.Option(
            envvar="MARKETD_ADMIN_PASSWORD", help="The admin's password.", show_default="that of serve --demo"
        ),
    ] = PASSWORD,
    admin_token: Annotated[str | None, typer.Option(help="An admin's access token instead of signing in.")] = None,
    tls: Tls = False,
    ca: Ca = None,
    plaintext: Plaintext = False,
) -> None:
    """Play the whole story against a running server, and check every step of it.

    A seller's products are imported, a buyer orders and pays, a courier rides the recorded trace, the buyer watches
    until the door. Exits 0 only when every step held. It signs in as the admin of `marketd serve --demo` unless
    MARKETD_ADMIN_EMAIL and MARKETD_ADMIN_PASSWORD name another (marketd create-admin makes one). Ctrl-C brings an open
    ride to its end first (exit code 130); a second one ends at once.
    """
    for option, path in (("products", products), ("trace", trace)):
        if not path.is_file():
            fail_line(f"--{option} {path} is no file.")
            raise typer.Exit(2)
    if watch and as_json:
        fail_line("--watch speaks to people and --json to machines; give one of them.")
        raise typer.Exit(2)
    is_demos_admin = (admin_email, admin_password, admin_token) == (ADMIN_EMAIL, PASSWORD, None)
    options = DemoOptions(
        target=target,
        products=products,
        trace=trace,
        speed=speed,
        admin_email=admin_email,
        admin_password=admin_password,
        admin_token=admin_token,
        credentials=credentials_of(tls=tls, ca=ca, plaintext=plaintext),
        plaintext=plaintext,
        # Only `serve --demo` of this machine makes that admin, so nobody else's is worth waiting for.
        patience_seconds=_PATIENCE_SECONDS if is_demos_admin and is_this_machine(target) else 0.0,
    )
    try:
        code = asyncio.run(_watch(options) if watch else _play(options, as_json=as_json))
    except PlainTextRefused:
        refuse_plain_text(target)
    except KeyboardInterrupt:  # before anything was begun
        code = _STOPPED
    raise typer.Exit(code)


async def _play(options: DemoOptions, *, as_json: bool) -> int:
    stop = asyncio.Event()
    _stop_first(stop)
    held = await run_demo(options, screen_for(Console(), as_json=as_json), stop)
    return 0 if held else _STOPPED if stop.is_set() else 1


async def _watch(options: DemoOptions) -> int:
    """Watch until the delivery is closed, or Ctrl-C: both are good ends of a watch."""
    stop = asyncio.Event()
    _stop_first(stop)
    watching, stopping = asyncio.create_task(watch_live(options, say)), asyncio.create_task(stop.wait())
    await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
    for task in (watching, stopping):
        task.cancel()
    await asyncio.wait((watching, stopping))
    try:
        if not watching.cancelled():
            watching.result()
    except (CheckFailed, MarketplaceError) as error:
        fail_line(str(error))
        return 1
    return 0


def _stop_first(stop: asyncio.Event) -> None:
    """Let the first Ctrl-C or SIGTERM set the event, and the next one end the process at once."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

    def first() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in numbers:
        loop.add_signal_handler(number, first)
