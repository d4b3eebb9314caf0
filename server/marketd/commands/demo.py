"""`marketd demo`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import grpc
import typer
from cryptography.x509 import load_pem_x509_certificates
from marketplace_client import PlainTextRefused
from rich.console import Console

from marketd.commands.settings import fail_line
from marketd.demo.defaults import ADMIN_EMAIL, PASSWORD, PRODUCTS, TRACE
from marketd.demo.presentation import screen_for
from marketd.demo.records import DemoOptions
from marketd.demo.steps import run_demo


def command(
    target: Annotated[str, typer.Option(help="The server, HOST:PORT.")] = "127.0.0.1:50051",
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
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS, trusting the system's authorities.")] = False,
    ca: Annotated[Path | None, typer.Option(help="Speak TLS, trusting the authorities in this PEM file.")] = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help="Plain text even when the server is another machine.")
    ] = False,
) -> None:
    """Play the whole story against a running server, and check every step of it.

    A seller's products are imported, a buyer orders and pays, a courier rides the recorded trace, the buyer watches
    until the door. Exits 0 only when every step held. It signs in as the admin of `marketd serve --demo` unless
    MARKETD_ADMIN_EMAIL and MARKETD_ADMIN_PASSWORD name another (marketd create-admin makes one).
    """
    for path in (products, trace, *([ca] if ca else [])):
        if not path.is_file():
            fail_line(f"{path} is no file.")
            raise typer.Exit(2)
    options = DemoOptions(
        target=target,
        products=products,
        trace=trace,
        speed=speed,
        admin_email=admin_email,
        admin_password=admin_password,
        admin_token=admin_token,
        credentials=_credentials(ca) if tls or ca else None,
        plaintext=plaintext,
    )
    try:
        held = asyncio.run(run_demo(options, screen_for(Console(), as_json=as_json)))
    except PlainTextRefused:
        fail_line(f"{target} is another machine: use --tls or --ca, or --plaintext where the network is trusted.")
        raise typer.Exit(2) from None
    raise typer.Exit(0 if held else 1)


def _credentials(ca: Path | None) -> grpc.ChannelCredentials:
    """TLS that trusts the authorities of the file, or the system's. Exits 2 when the file holds none."""
    if ca is None:
        return grpc.ssl_channel_credentials()
    try:
        pem = ca.read_bytes()
        load_pem_x509_certificates(pem)
    except (OSError, ValueError) as error:
        fail_line(f"{ca} holds no certificates that can be read in PEM ({error}).")
        raise typer.Exit(2) from None
    return grpc.ssl_channel_credentials(pem)
