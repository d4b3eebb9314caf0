"""`marketd policy`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich import box
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
    table = Table(header_style="bold", box=box.SIMPLE)
    for heading in ("Method", "Access", "request_id", "Rate", "Audit"):
        table.add_column(heading)
    service = ""
    for method in document["methods"]:
        path, _, name = method["method"].removeprefix("/").rpartition("/")
        if path != service:
            service = path
            table.add_section()
            table.add_row(f"[bold]{service.removeprefix('marketplace.')}[/bold]")
        table.add_row(
            f"  {name}",
            ", ".join(method["access"]),
            {"NONE": "", "KEY_OPTIONAL": "optional", "KEY_REQUIRED": "required"}[method["idempotency"]],
            method["rate_class"],
            "yes" if method["audit"] else "",
        )
    Console().print(table)
