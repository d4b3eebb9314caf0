"""`marketd bench`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import grpc
import typer
from rich.console import Console, Group

from marketd.commands.settings import fail_line, say

try:
    from marketd.bench import gateway, growth, runner, search
    from marketd.bench.clients import LoadFailed
    from marketd.bench.operations import Mismatch
    from marketd.bench.search_files import FileUnusable
    from marketd.bench.servers import ServerFailed
except ModuleNotFoundError as error:
    if error.name != "psutil":
        raise
    fail_line("bench needs psutil; install it with `pip install 'marketd[bench]'`.")
    raise SystemExit(2) from None

_ALONE = ("search", "growth", "gateway")


def command(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP]…",
            help=f"What to measure: {', '.join(runner.GROUPS)}. All of these by default. Or one of these alone: "
            f"{', '.join(_ALONE)}.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only show that it works, in seconds.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of each operation [5, quick 1].")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of the imported file [100000, quick 2000].")] = None,
    products: Annotated[
        Path | None, typer.Option(help="With search: the products (NDJSON, also .gz). With growth: whose words to use.")
    ] = None,
    judgments: Annotated[
        Path | None, typer.Option(help="With search: what people said of answers (CSV: query, product_id, rating).")
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="With growth: how many products, the smallest number first.")
    ] = "1000,1000000",
) -> None:
    """Measure the server against bare floors on this machine.

    It starts a server of its own with a database of its own, and beside it bare gRPC servers that answer the same
    bytes after the same SQL; it drives them in turn and compares the processor time of a call. docs/operations.md
    explains the columns. Exits 1 when a measure is void: a server did not start, or calls failed.

    `search` measures how well SearchProducts finds what people call right, `growth` what a thousand times as many
    products do to reads and searches, `gateway` what the way through Envoy costs.
    """
    # SIGTERM ends it as Ctrl-C does: with its servers stopped and its folder removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if groups == ["gateway"]:
        _measure(lambda progress: gateway.run(rounds, progress, quick=quick), json_=json_)
        return
    if groups in (["search"], ["growth"]):
        if groups == ["search"]:
            if products is None or judgments is None:
                fail_line("bench search needs --products FILE and --judgments FILE.")
                raise typer.Exit(2)
            given, judged = products, judgments
            _measure(lambda progress: search.run(given, judged, progress), json_=json_)
        else:
            counts = _sizes(sizes)
            _measure(lambda progress: growth.run(counts, products, progress), json_=json_)
        return
    unknown = [group for group in groups or () if group not in runner.GROUPS]
    if unknown:
        fail_line(f"there is no group {', '.join(unknown)}; choose of {', '.join(runner.GROUPS)}.")
        raise typer.Exit(2)
    options = runner.Options(groups or runner.GROUPS, quick, rounds, rows)
    _measure(lambda progress: runner.run(options, progress), json_=json_)


class _Report(Protocol):
    """What a measure came to."""

    def to_json(self) -> dict[str, Any]: ...

    def to_table(self) -> Group: ...


def _measure(run: Callable[[Callable[[str], None]], _Report], *, json_: bool) -> None:
    """Run it and print what it came to."""
    try:
        with _progress() as progress:
            report = run(progress)
    except FileUnusable as failure:
        fail_line(str(failure))
        raise typer.Exit(2) from None
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


def _sizes(text: str) -> list[int]:
    """The numbers of `--sizes`."""
    try:
        sizes = [int(each.replace("_", "")) for each in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1 or sizes != sorted(set(sizes)):
        fail_line(f"--sizes is {text!r} and must be numbers of products, each larger than the one before: 1000,1000000")
        raise typer.Exit(2)
    return sizes


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Says on standard error what is being done: in one line of a terminal, else in a line each."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield console.print
        return
    with console.status("…") as status:
        yield status.update
