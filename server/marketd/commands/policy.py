"""`marketd policy`."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from marketd.app import policy_document
from marketd.commands.settings import say


def command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """List every rpc with who may call it, as the contract declares it.

    PUBLIC needs no token, AUTHENTICATED any user's or service's; otherwise one of the roles. Needs no database.
    """
    document = policy_document()
    if as_json:
        say(json.dumps(document, indent=2))
        return
    console = Console()
    methods = sorted(document["methods"], key=lambda method: method["method"])
    for service, group in groupby(methods, key=lambda method: method["method"].rpartition("/")[0]):
        table = Table(box=None, pad_edge=False, show_header=False)
        for width in (23, 28, 8, 8, 7):
            table.add_column(min_width=width, max_width=width)
        for method in group:
            table.add_row(
                f"  {method['method'].rpartition('/')[2]}",
                ", ".join(method["access"]),
                {"NONE": "", "KEY_OPTIONAL": "optional", "KEY_REQUIRED": "required"}[method["idempotency"]],
                method["rate_class"],
                "audited" if method["audit"] else "",
            )
        console.print(f"\n[bold]{service.removeprefix('/')}[/bold]")
        console.print(table)
    console.print("\nColumns: method, access, request_id, rate class, whether each call is audited.", style="dim")
