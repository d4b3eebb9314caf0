"""The options of commands that call a server: where it is, and how it is spoken to. It imports nothing that is slow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, NoReturn

import grpc
import typer
from cryptography.x509 import load_pem_x509_certificates

from marketd.demo.defaults import DEFAULT_TARGET

__all__ = ["DEFAULT_TARGET", "Ca", "Plaintext", "Target", "Tls", "credentials_of", "refuse_plain_text"]

_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:")
_HOST_AND_PORT = re.compile(r"(\[[^\[\]/]+\]|[^\[\]:/\s]+):\d{1,5}")


def _checked(target: str) -> str:
    """The target as grpc takes it; without a port it would go to port 443 in silence. Exits 2 for what is none."""
    if not target.startswith(_SCHEMES) and not _HOST_AND_PORT.fullmatch(target):
        _refuse(f"--target {target} is no HOST:PORT, such as shop.example.com:443 or [::1]:50051.")
    return target


Target = Annotated[str, typer.Option(help="The server, HOST:PORT.", callback=_checked)]
Tls = Annotated[bool, typer.Option("--tls", help="Speak TLS, trusting the system's authorities.")]
Ca = Annotated[Path | None, typer.Option(help="Speak TLS, trusting the authorities in this PEM file.")]
Plaintext = Annotated[bool, typer.Option("--plaintext", help="Plain text even when the server is another machine.")]


def credentials_of(*, tls: bool, ca: Path | None) -> grpc.ChannelCredentials | None:
    """TLS that trusts the authorities of the file, or the system's; None for plain text.

    Exits 2 when the file holds no certificates: the core takes any bytes, and then trusts nobody.
    """
    if ca is None:
        return grpc.ssl_channel_credentials() if tls else None
    try:
        pem = ca.read_bytes()
        load_pem_x509_certificates(pem)
    except (OSError, ValueError) as error:
        _refuse(f"{ca} holds no certificates that can be read in PEM ({error}).")
    return grpc.ssl_channel_credentials(pem)


def refuse_plain_text(target: str) -> NoReturn:
    """Exit 2: secrets would go to another machine for all to read."""
    _refuse(f"{target} is another machine: use --tls or --ca, or --plaintext where the network is trusted.")


def _refuse(text: str) -> NoReturn:
    typer.echo(f"marketd: {text}", err=True)
    raise typer.Exit(2)
