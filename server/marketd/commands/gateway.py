"""`marketd gateway`."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from marketd.commands.settings import fail_line, read_settings, require_static_folder, say
from marketd.config.forms import with_port
from marketd.gateway.binary import EnvoyAbsent, find_envoy
from marketd.gateway.files import as_yaml, command_line, write_files, write_named_files
from marketd.gateway.gateway import Admin, Gateway, gateway_of
from marketd.process.supervision.foreground import run_in_front
from marketd.process.supervision.gateway import ADMIN_SOCKET
from marketd.process.supervision.gateway_program import on_this_machine
from marketd.process.supervision.port import CannotServe, reserve_port

_HOW_TO_CHOOSE = "marketd gateway --port …"


def command(
    upstream: Annotated[
        list[str] | None,
        typer.Option(help="HOST:PORT of a server, as often as there are [MARKETD_GATEWAY_UPSTREAMS, this machine's]."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [MARKETD_GATEWAY_HOST].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one [MARKETD_GATEWAY_PORT].")] = None,
    static: Annotated[Path | None, typer.Option(help="A folder of pages to serve [MARKETD_GATEWAY_STATIC].")] = None,
    show: Annotated[
        bool, typer.Option("--print", help="Write Envoy's configuration as YAML, and run nothing.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option(help="Write what that configuration names into this folder, and run nothing."),
    ] = None,
) -> None:
    """Serve browsers, phones and curl in front of servers that run elsewhere: gRPC, gRPC-Web and JSON on one address.

    `marketd serve --gateway` runs one beside the workers by itself. Servers behind this one need
    MARKETD_TRUSTED_PROXY_HOPS=1, or they take every caller for the gateway.
    """
    settings = read_settings(
        gateway_upstreams=tuple(upstream) if upstream else None,
        gateway_host=host,
        gateway_port=port,
        gateway_static=static,
    )
    gateway = gateway_of(settings)
    if files is not None:
        _write(files)
    if show:
        _print(gateway)
    if show or files is not None:
        return
    require_static_folder(settings)
    try:
        envoy = find_envoy()
        holder = reserve_port(gateway.host, gateway.port, _HOW_TO_CHOOSE)
    except (EnvoyAbsent, CannotServe) as error:
        fail_line(str(error))
        raise typer.Exit(2) from None
    with holder, tempfile.TemporaryDirectory(prefix="marketd-") as made:
        folder = Path(made)
        gateway = replace(
            on_this_machine(gateway), port=holder.getsockname()[1], admin=Admin(socket=folder / ADMIN_SOCKET)
        )
        is_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
        line = command_line(envoy, write_files(gateway, folder), settings, is_json=is_json)
        scheme = "http" if gateway.tls_cert_file is None else "https"
        servers = ", ".join(with_port(each.host, each.port) for each in gateway.upstreams)
        say(f"Gateway on {scheme}://{with_port(gateway.host, gateway.port)} for {servers}. Ctrl-C ends it.")
        code = run_in_front(line, folder / ADMIN_SOCKET, settings.drain_seconds)
    raise typer.Exit(code)


def _print(gateway: Gateway) -> None:
    try:
        text = as_yaml(gateway)
    except ModuleNotFoundError:
        fail_line("writing YAML needs PyYAML; pip install 'marketd[gateway]'.")
        raise typer.Exit(2) from None
    say(text.rstrip())


def _write(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_named_files(folder)
    except OSError as error:
        fail_line(f"{folder} cannot be written ({error.strerror}); name a folder of your own.")
        raise typer.Exit(2) from None
