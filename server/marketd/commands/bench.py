"""`marketd bench`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import grpc
import typer
from rich.console import Console

from marketd.commands.settings import fail_line, say

try:
    from marketd.bench import runner
    from marketd.bench.clients import LoadFailed
    from marketd.bench.operations import Mismatch
    from marketd.bench.servers import ServerFailed
except ModuleNotFoundError as error:
    if error.name != "psutil":
        raise
    fail_line("bench needs psutil; install it with `pip install 'marketd[bench]'`.")
    raise SystemExit(2) from None


def command(
    groups: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GROUP]…", help=f"What to measure: {', '.join(runner.GROUPS)}. All by default."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only show that it works, in seconds.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of each operation [5, quick 1].")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of the imported file [100000, quick 2000].")] = None,
) -> None:
    """Measure the server against bare floors on this machine.

    It starts a server of its own with a database of its own, and beside it bare gRPC servers that answer the same
    bytes after the same SQL; it drives them in turn and compares the processor time of a call. docs/operations.md
    explains the columns. Exits 1 when a measure is void: a server did not start, or calls failed.
    """
    unknown = [group for group in groups or () if group not in runner.GROUPS]
    if unknown:
        fail_line(f"there is no group {', '.join(unknown)}; choose of {', '.join(runner.GROUPS)}.")
        raise typer.Exit(2)
    options = runner.Options(groups or runner.GROUPS, quick, rounds, rows)
    # SIGTERM ends it as Ctrl-C does: with its servers stopped and its folder removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _progress() as progress:
            report = runner.run(options, progress)
    except (LoadFailed, Mismatch, ServerFailed, RuntimeError) as failure:
        fail_line(str(failure))
        raise typer.Exit(1) from None
    except grpc.aio.AioRpcError as refusal:
        fail_line(f"the load could not be prepared: {refusal.code().name}: {refusal.details()}")
        raise typer.Exit(1) from None
    if json_:
        say(json.dumps(report.to_json()))
    else:
        Console().print(report.to_table())


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Says on standard error what is being done: in one line of a terminal, else in a line each."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield console.print
        return
    with console.status("…") as status:
        yield status.update
