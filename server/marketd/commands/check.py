"""`marketd check`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Final, TypedDict

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from marketd import app
from marketd.commands.database import database_of
from marketd.commands.settings import read_settings, say
from marketd.kernel.db.database import Connection
from marketd.kernel.db.invariants import Finding, check

CONNECT_SECONDS: Final = 5


class FindingDocument(TypedDict):
    """One invariant of `marketd check --json`."""

    id: str
    title: str
    ok: bool
    violations: list[str]


class CheckDocument(TypedDict):
    """All of `marketd check --json`."""

    ok: bool
    invariants: list[FindingDocument]


def command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Check the invariants of the data: stock, money, events, positions.

    Reads one snapshot and changes nothing, so it may run beside a busy server. Exits 0 when all hold, 1 when one is
    violated, 2 when the database cannot be read.
    """
    settings = read_settings()
    with database_of(settings) as url:
        findings = asyncio.run(check_database(url))
    if as_json:
        say(json.dumps(document(findings), indent=2))
    else:
        Console(soft_wrap=True).print(_table(findings))
    raise typer.Exit(0 if all(finding.is_ok for finding in findings) else 1)


async def check_database(url: str) -> list[Finding]:
    """Check every invariant on a connection of its own. Raises OSError and asyncpg's errors when there is none."""
    connection: Connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        return await check(connection, app.INVARIANTS)
    finally:
        await connection.close()


def document(findings: Sequence[Finding]) -> CheckDocument:
    """The findings as `marketd check --json` prints them."""
    return {
        "ok": all(finding.is_ok for finding in findings),
        "invariants": [
            {
                "id": finding.number,
                "title": finding.title,
                "ok": finding.is_ok,
                "violations": list(finding.violations),
            }
            for finding in findings
        ],
    }


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(title="Invariants", header_style="bold")
    for heading in ("", "What must hold", "Holds", "Violations"):
        table.add_column(heading)
    for finding in findings:
        violations = "\n".join(finding.violations)
        table.add_row(finding.number, finding.title, "yes" if finding.is_ok else "NO", violations)
    return table
