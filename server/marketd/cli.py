"""`marketd`: the command line. It lists the commands; each lives in `commands/` and is imported when it is called."""

from __future__ import annotations

import functools
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from marketd import __version__
from marketd.commands.names import mistyped
from marketd.process.env_file import EnvFileUnusable, take_env_file
from marketd.process.quick_import import imported

_COMMANDS: Mapping[str, str] = {
    "serve": "Serve the marketplace (and run its background work) until SIGTERM.",
    "gateway": "One address for browsers, phones and curl in front of servers.",
    "worker": "Run only the background work: event relay, timers, jobs.",
    "migrate": "Bring the database's schema to what this version needs.",
    "create-admin": "Create an administrator, or make an account one.",
    "disable-totp": "Remove the second factor of somebody who lost it.",
    "keys": "Rotate the keys that sign access tokens.",
    "import-products": "Import a seller's products from a shop's CSV.",
    "export-products": "Export a seller's products as a Shopify CSV.",
    "demo": "Play the whole story, from import to review, against a running server.",
    "token": "Sign in and print an access token, for a shell.",
    "healthcheck": "Ask a server whether it serves; the exit code says so.",
    "policy": "List every rpc with who may call it, or explain one.",
    "descriptors": "Write the contract for tools: grpcurl, buf, protoc.",
    "openapi": "Write the HTTP interface as an OpenAPI document.",
    "check": "Check the invariants of the data.",
    "reindex": "Make what search reads of the products anew.",
    "bench": "Measure the server against bare floors on this machine.",
}

_INTERRUPTED = 128 + signal.SIGINT

_EPILOG = """\b
First steps:
  marketd serve --demo          a marketplace with demo data and live couriers
  marketd demo                  the whole story against it, step by step
  marketd demo --watch          a delivery on its way, live
  marketd policy                what can be called, and by whom
\b
Settings come from the environment (MARKETD_…) and a .env file here; docs/operations.md lists them.
"""


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"marketd {__version__}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A gRPC marketplace backend for shops with their own couriers."""
    # Here, since the options of the command that is asked for may read the environment too.
    try:
        file = take_env_file()
    except EnvFileUnusable as error:
        typer.echo(f"marketd: {error}", err=True)
        raise typer.Exit(2) from None
    if file is None:
        return
    wrong = mistyped(file.names)
    names = [name for name in file.names if name not in wrong]
    if names:
        count = "a setting comes" if len(names) == 1 else f"{len(names)} settings come"
        typer.echo(f"marketd: {count} from {file.path}: {', '.join(names)}.", err=True)


def _listed_only() -> None:
    """Stands for a command that was not asked for, so that help can list it without importing it."""


def _ending_quietly(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which names mistyped variables first and ends quietly when it is interrupted."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        if not kwargs.get("quiet"):  # whoever called for it has named them
            for line in mistyped().values():
                typer.echo(f"marketd: {line}", err=True)
        on_main_thread = threading.current_thread() is threading.main_thread()  # others may set no handler
        if on_main_thread and signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.default_int_handler):
            # From here on there may be something to close (see __main__.py).
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except typer.Abort as aborted:  # what a question makes of it
            if isinstance(aborted.__context__, KeyboardInterrupt):
                raise typer.Exit(_INTERRUPTED) from None
            raise

    return run


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command line for these arguments: only the command they name is imported."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog=_EPILOG,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(epilog=_EPILOG)(_about)
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in _COMMANDS.items():
        if name == asked:
            module = imported(f"marketd.commands.{name.replace('-', '_')}")
            app.command(name)(_ending_quietly(module.command))
        else:
            app.command(name, short_help=summary)(_listed_only)
    return app


def main() -> None:
    """The entry point."""
    application(sys.argv[1:])()
