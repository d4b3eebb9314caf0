"""`marketd policy`."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from marketd.app import access_table
from marketd.commands.explain import ANONYMOUS, NoSuchName, explained, find_role, find_rule, judged
from marketd.commands.settings import fail_line, read_settings, say
from marketd.kernel.call.caller import Role
from marketd.transport.access import AccessTable, MethodPolicy

# Title and width of each column; the tables of all services stand under one row of titles.
_COLUMNS = (("method", 23), ("access", 17), ("request_id", 10), ("rate", 8), ("audit", 7), ("stability", 10))
_REQUEST_IDS = {"NONE": "", "KEY_OPTIONAL": "optional", "KEY_REQUIRED": "required"}


def command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
    explain: Annotated[
        str | None,
        typer.Option(
            help="Say in words what holds for a method: OrderService/PlaceOrder, or PlaceOrder.", metavar="METHOD"
        ),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            "--as",
            help=f"With --explain: may this role call it? {', '.join(str(each) for each in Role)}, or {ANONYMOUS}.",
            metavar="ROLE",
        ),
    ] = None,
) -> None:
    """List every rpc with who may call it, as the contract declares it.

    PUBLIC needs no token, AUTHENTICATED any user's or service's; otherwise one of the roles. Below stand the writes
    that take no request_id, with the reason. Needs no database.
    """
    if explain is None and role is not None:
        fail_line("--as needs --explain METHOD.")
        raise typer.Exit(2)
    if explain is not None and as_json:
        fail_line("--explain speaks to people; --json lists all methods for machines.")
        raise typer.Exit(2)
    table = access_table()
    if explain is not None:
        _explain(table, explain, role)
    elif as_json:
        say(json.dumps(table.policy_document(), indent=2))
    else:
        list_methods(Console(), table.policy_document()["methods"])


def _explain(table: AccessTable, method: str, role: str | None) -> None:
    try:
        rule = find_rule(table, method)
        judgement = judged(rule, find_role(role)) if role is not None else ""
    except NoSuchName as error:
        fail_line(str(error))
        raise typer.Exit(2) from None
    say(rule.method.removeprefix("/"))
    if judgement:
        say(judgement)
    for title, words in explained(rule, read_settings().limits()):
        say(f"  {title:<11} {words}")


def list_methods(console: Console, methods: list[MethodPolicy]) -> None:
    """Print the table, service by service."""
    titles = _table()
    titles.add_row(*(title for title, _ in _COLUMNS), style="bold underline")
    console.print(titles)
    for service, group in groupby(methods, key=lambda method: method["method"].rpartition("/")[0]):
        table = _table()
        for method in group:
            table.add_row(
                f"  {method['method'].rpartition('/')[2]}",
                ", ".join(method["access"]),
                _REQUEST_IDS[method["idempotency"]],
                method["rate_class"],
                "audited" if method["audit"] else "",
                "deprecated" if method["replacement"] else method["stability"].lower(),
            )
        console.print(f"\n[bold]{service.removeprefix('/')}[/bold]")
        console.print(table)
    _list_unrepeatable(console, [method for method in methods if method["unrepeatable"]])


def _list_unrepeatable(console: Console, methods: list[MethodPolicy]) -> None:
    """The writes without a request_id: a caller who got no answer must look before calling again."""
    if not methods:
        return
    console.print("\n[bold]Writes that take no request_id[/bold]")
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    for method in methods:
        table.add_row(f"  {method['method'].rpartition('.')[2]}", method["unrepeatable"])
    console.print(table)


def _table() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    for _, width in _COLUMNS:
        table.add_column(min_width=width, max_width=width)
    return table
