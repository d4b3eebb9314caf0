"""Writes the parts of docs/ that are made from the code; `--check` only says what is out of date.

docs/database.md is the entity diagram of the mapped tables. In docs/architecture.md the block between the two marks
lists the floors, bottom up, as .importlinter has them, and the services of each slice.
"""

from __future__ import annotations

import configparser
import importlib
import sys
from collections import defaultdict
from pathlib import Path

import marketd
from marketd import app
from marketd.kernel.db.database import Base
from marketd.transport.collector import service_of
from sqlalchemy import Dialect, ForeignKeyConstraint, Table
from sqlalchemy.dialects import postgresql

ROOT = Path(__file__).resolve().parents[1]
POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
BEGIN, END = "<!-- floors: made by tools/generate_docs.py -->", "<!-- floors end -->"


def load_tables() -> dict[str, list[Table]]:
    """Every mapped table by the room that maps it, in the order of the rooms' names."""
    package = Path(marketd.__path__[0])
    owners: dict[str, list[Table]] = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        if "(Base):" in path.read_text():
            importlib.import_module(".".join(("marketd", *path.relative_to(package).with_suffix("").parts)))
    for mapper in Base.registry.mappers:
        room = mapper.class_.__module__.split(".")[1]
        table = mapper.local_table
        if isinstance(table, Table):
            owners[room].append(table)
    return {room: sorted(tables, key=lambda table: table.name) for room, tables in sorted(owners.items())}


def database_page() -> str:
    """docs/database.md."""
    lines = [
        "# The database",
        "",
        "Every table, by the room that owns it: nobody else reads or writes it. Made from the models; run",
        "`make docs` after a change. PK: primary key, FK: foreign key, UK: unique.",
        "",
    ]
    for room, tables in load_tables().items():
        lines += [f"## {room}", "", "```mermaid", "erDiagram"]
        for table in tables:
            lines.append(f"  {table.name} {{")
            for column in table.columns:
                kind = column.type.compile(dialect=POSTGRESQL).lower()
                kind = kind.replace("timestamp with time zone", "timestamptz")
                kind = kind.split("(")[0].replace(" ", "_").replace("[]", "_array")
                marks = [
                    mark
                    for mark, holds in (
                        ("PK", column.primary_key),
                        ("FK", bool(column.foreign_keys)),
                        ("UK", bool(column.unique)),
                    )
                    if holds
                ]
                optional = ' "optional"' if column.nullable else ""
                lines.append(f"    {kind} {column.name}{' ' + ', '.join(marks) if marks else ''}{optional}")
            lines.append("  }")
        for table in tables:
            for constraint in sorted(table.foreign_key_constraints, key=_first_column):
                names = ", ".join(column.name for column in constraint.columns)
                lines.append(f'  {constraint.referred_table.name} ||--o{{ {table.name} : "{names}"')
        lines += ["```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _first_column(constraint: ForeignKeyConstraint) -> str:
    return next(iter(constraint.columns)).name


def floors() -> str:
    """The block of docs/architecture.md, without its marks."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    layers = [line.strip() for line in parser["importlinter:contract:floors"]["layers"].splitlines() if line.strip()]
    services: dict[str, list[str]] = defaultdict(list)
    for servicer in app.SERVICERS:
        services[servicer.__module__.split(".")[1]].append(f"`{service_of(servicer)}`")
    lines = ["| floor, bottom up | services |", "|---|---|"]
    for layer in reversed(layers):
        served = ", ".join(name for room in layer.split(" | ") for name in services[room])
        lines.append(f"| {layer.replace(' | ', ', ')} | {served} |")
    return "\n".join(lines)


def architecture_page() -> str:
    """docs/architecture.md with its block made anew."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{floors()}\n{END}{after}"


def main() -> None:
    """Write, or compare with `--check` and exit with 1 when something is out of date."""
    pages = {"docs/database.md": database_page(), "docs/architecture.md": architecture_page()}
    stale = [name for name, text in pages.items() if not (ROOT / name).exists() or (ROOT / name).read_text() != text]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"out of date: {', '.join(stale)}; run `make docs`")
        return
    for name in stale:
        (ROOT / name).write_text(pages[name])
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
