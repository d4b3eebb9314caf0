"""The options of commands that call a server: where it is, and how it is spoken to. It imports nothing that is slow."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import grpc
import typer
from cryptography.x509 import load_pem_x509_certificates

from marketd.demo.addresses import reachable
from marketd.demo.defaults import DEFAULT_TARGET

__all__ = ["Ca", "Plaintext", "Target", "Tls", "credentials_of", "own_target", "refuse_plain_text"]

_SCHEMES = ("unix:", "unix-abstract:")
_RESOLVED = ("dns:", "ipv4:", "ipv6:")
_HOST_AND_PORT = re.compile(r"(?:\[[^\[\]/]+\]|[^\[\]:/\s]+):([0-9]+)")
_LAST_PORT = re.compile(r"(?:^|[^:]):([0-9]+)$|\]:([0-9]+)$")
_MOST = 65_535


def _checked(target: str) -> str:
    """The target as grpc takes it. Exits 2 for what is none.

    Without a port it would go to port 443 in silence, and the core counts a port beyond the last one anew from 0: a
    password would go to whoever listens there.
    """
    if target.startswith(_SCHEMES):
        return target
    if target.startswith(_RESOLVED):
        found = [match for part in target.split(",") if (match := _LAST_PORT.search(part))]
        ports = [match[1] or match[2] for match in found]
    elif match := _HOST_AND_PORT.fullmatch(target):
        ports = [match[1]]
    else:
        _refuse(f"--target {target} is no HOST:PORT, such as shop.example.com:443 or [::1]:50051.")
    for port in ports:
        if not _is_port(port):
            _refuse(f"--target {target}: ports go from 1 to {_MOST}, and {port} is none.")
    return target


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) and 1 <= int(text) <= _MOST


def own_target(environment: Mapping[str, str] | None = None) -> str:
    """Where `marketd serve` listens with this environment, as others of this machine reach it. Exits 2 if it is none.

    A server that listens on every address is found on the loopback.
    """
    given = {
        name.upper(): value.strip() for name, value in (os.environ if environment is None else environment).items()
    }
    host, _, port = DEFAULT_TARGET.rpartition(":")
    host, port = given.get("MARKETD_HOST", host).strip("[]"), given.get("MARKETD_PORT", port)
    if not _is_port(port):
        _refuse(f"MARKETD_PORT {port} is no port that a server can be called at; name the server with --target.")
    target = reachable(f"{host}:{port}")
    if not _HOST_AND_PORT.fullmatch(target):
        _refuse(f"MARKETD_HOST {host} is no host; name the server with --target HOST:PORT.")
    return target


Target = Annotated[
    str,
    typer.Option(
        default_factory=own_target,
        help="The server, HOST:PORT [MARKETD_HOST:MARKETD_PORT, 127.0.0.1:50051].",
        show_default=False,
        callback=_checked,
    ),
]
Tls = Annotated[bool, typer.Option("--tls", help="Speak TLS, trusting the system's authorities.")]
Ca = Annotated[Path | None, typer.Option(help="Speak TLS, trusting the authorities in this PEM file.")]
Plaintext = Annotated[bool, typer.Option("--plaintext", help="Plain text even when the server is another machine.")]


def credentials_of(*, tls: bool, ca: Path | None, plaintext: bool = False) -> grpc.ChannelCredentials | None:
    """TLS that trusts the authorities of the file, or the system's; None for plain text.

    Exits 2 when TLS and plain text are asked for at once, and when the file holds no certificates: the core takes any
    bytes, and then trusts nobody.
    """
    if plaintext and (tls or ca is not None):
        _refuse(f"--plaintext and {'--tls' if tls else '--ca'} contradict each other; give one of them.")
    if ca is None:
        return grpc.ssl_channel_credentials() if tls else None
    try:
        pem = ca.read_bytes()
        load_pem_x509_certificates(pem)
    except (OSError, ValueError) as error:
        _refuse(f"--ca {ca} holds no certificates that can be read in PEM ({error}).")
    return grpc.ssl_channel_credentials(pem)


def refuse_plain_text(target: str) -> NoReturn:
    """Exit 2: secrets would go to another machine for all to read."""
    _refuse(f"{target} is another machine: use --tls or --ca, or --plaintext where the network is trusted.")


def _refuse(text: str) -> NoReturn:
    typer.echo(f"marketd: {text}", err=True)
    raise typer.Exit(2)
