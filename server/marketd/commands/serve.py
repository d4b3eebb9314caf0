"""`marketd serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marketd.commands.settings import (
    advise,
    fail_line,
    read_settings,
    require_startable,
    require_static_folder,
    say,
)
from marketd.config import Settings
from marketd.embedded import EmbeddedPostgresError
from marketd.gateway.binary import EnvoyAbsent, find_envoy
from marketd.gateway.static import hello_pages
from marketd.process.supervision.port import CannotServe
from marketd.process.supervision.supervisor import Supervisor, migrate_once


def command(
    host: Annotated[str | None, typer.Option(help="Address to listen on, IPv6 too [MARKETD_HOST, 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one [MARKETD_PORT, 50051].")] = None,
    workers: Annotated[int | None, typer.Option(help="Serving processes on the port [MARKETD_WORKERS, 1].")] = None,
    gateway: Annotated[
        bool | None,
        typer.Option(help="Run a gateway (Envoy) for browsers, phones and curl beside it [MARKETD_GATEWAY, no]."),
    ] = None,
    gateway_port: Annotated[
        int | None, typer.Option(help="Its port; 0 takes a free one [MARKETD_GATEWAY_PORT, port + 1].")
    ] = None,
    static: Annotated[
        Path | None,
        typer.Option(help="A folder of pages that the gateway serves [MARKETD_GATEWAY_STATIC, the demo's page]."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Add demo data and couriers that deliver.")] = False,
) -> None:
    """Serve the marketplace until SIGTERM or Ctrl-C.

    Without MARKETD_DATABASE_URL a PostgreSQL of its own runs under .marketd/ and is migrated by itself; another
    database is migrated by `marketd migrate`.
    """
    settings = read_settings(
        host=host, port=port, workers=workers, gateway=gateway, gateway_port=gateway_port, gateway_static=static
    )
    require_startable(settings)
    require_static_folder(settings)
    advise(settings)
    if demo and settings.production:
        fail_line("--demo creates accounts with known passwords; it is not for production.")
        raise typer.Exit(2)
    if demo and settings.tls_cert_file is not None:
        fail_line("--demo speaks to the server without TLS; unset MARKETD_TLS_CERT_FILE for it.")
        raise typer.Exit(2)
    if demo and settings.gateway_static is None:
        settings = settings.model_copy(update={"gateway_static": hello_pages()})
    supervisor = Supervisor(
        settings,
        say,
        fail_line,
        demo=demo,
        with_gateway=settings.gateway and _has_envoy(settings),
        migrate=migrate_once(settings.data_dir, say),
    )
    try:
        code = supervisor.run()
    except (CannotServe, EmbeddedPostgresError) as error:
        fail_line(str(error))
        code = 2
    raise typer.Exit(code)


def _has_envoy(settings: Settings) -> bool:
    """Whether there is an Envoy; without one a marketplace to try out serves without a gateway, and says so."""
    try:
        find_envoy()
    except EnvoyAbsent as absent:
        fail_line(str(absent))
        if settings.production:
            raise typer.Exit(2) from None
        say("Serving without a gateway: gRPC alone, no page and no JSON.")
        return False
    return True
