"""Writes the parts of docs/ that are made from the code; `--check` only says what is out of date.

docs/database.md is the entity diagram of the mapped tables; docs/rpcs.md lists every rpc with what its contract says of
it; deploy/envoy.yaml is what `marketd gateway --print` writes by default. In docs/architecture.md the block between the
two marks lists the floors, bottom up, as .importlinter has them, and the services of each slice.
"""

from __future__ import annotations

import configparser
import importlib
import re
import sys
from collections import defaultdict
from pathlib import Path

import marketd
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from marketd import app
from marketd.config import Settings
from marketd.gateway.files import as_yaml
from marketd.gateway.gateway import gateway_of
from marketd.kernel.call.reasons import Reason
from marketd.kernel.db.database import Base
from marketd.transport.collector import service_of
from marketd.transport.descriptors import contract
from marketd.transport.rules import Idempotency, Kind, Open, Rule
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


RPCS = """\
# The rpcs

Every rpc of the marketplace, as its proto declares it; made by `make docs`. `marketd policy` prints the rules of this
very version, `marketd policy --explain METHOD` one of them in words.

- **rpc**: SS streams answers, CS requests, BD both.
- **who**: *all* without a token, *signed in* with any user's or service's, else one of the roles. What belongs to
  somebody else is NOT_FOUND, whatever the role, unless the contract opens it.
- **request_id**: with one, a repeat gets the first answer. A write that takes none says why.
- **etag**: where the request carries the etag that is checked; an empty one is unconditional.
- **reasons**: what the rpc refuses with, besides what every call may meet (UNAUTHENTICATED, ROLE_REQUIRED,
  VALIDATION_FAILED by a rule of the contract, RATE_LIMITED, OVERLOADED, DEADLINE_EXCEEDED, …); when, says its comment.
"""
TITLES = ("| rpc | who | request_id | etag | stability | reasons |", "|---|---|---|---|---|---|")
WHO = {Open.PUBLIC: "*all*", Open.AUTHENTICATED: "*signed in*"}
REQUEST_IDS = {Idempotency.KEY_REQUIRED: "required", Idempotency.KEY_OPTIONAL: "optional"}
STREAMS = {Kind.SERVER_STREAM: " SS", Kind.CLIENT_STREAM: " CS", Kind.BIDI: " BD"}


def rpcs_page() -> str:
    """docs/rpcs.md."""
    comments = comments_of_methods()
    rules = {rule.method: rule for rule in app.access_table()}
    lines = [RPCS]
    for name in app.SERVICES:
        lines += [f"## {name}", "", *TITLES]
        for method in descriptor_pool.Default().FindServiceByName(name).methods:
            rule = rules[f"/{name}/{method.name}"]
            cells = (
                f"{method.name}{STREAMS.get(rule.kind, '')}",
                WHO[rule.access] if isinstance(rule.access, Open) else ", ".join(rule.access_names),
                REQUEST_IDS.get(rule.idempotency) or (rule.unrepeatable and f"none: {rule.unrepeatable}"),
                place_of_etag(method),
                stability(rule),
                ", ".join(reasons(comments[f"{name}.{method.name}"])),
            )
            lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def comments_of_methods() -> dict[str, str]:
    """The comment of each rpc by its full name."""
    found = {}
    for file in contract().values():
        said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for at, service in enumerate(file.service):
            for each, method in enumerate(service.method):
                found[f"{file.package}.{service.name}.{method.name}"] = said.get((6, at, 2, each), "")
    return found


def reasons(comment: str) -> list[str]:
    """The reasons that a comment names behind "Errors:", each once."""
    words = re.findall(r"\b[A-Z][A-Z_]+\b", comment.partition("Errors:")[2])
    return list(dict.fromkeys(word for word in words if word in set(Reason)))


def place_of_etag(method: MethodDescriptor) -> str:
    """The path of the etag in the request; a resource's own counts where the resource is given back."""
    request = method.input_type
    own = [field.name for field in request.fields if field.name == "etag" or field.name.endswith("_etag")]
    if own or not method.name.startswith("Update"):
        return ", ".join(own)
    return ", ".join(f"{name}.etag" for name, inside in messages_in(request) if "etag" in inside.fields_by_name)


def messages_in(request: Descriptor) -> list[tuple[str, Descriptor]]:
    """The messages that a request carries, by the names of their fields."""
    return [(field.name, field.message_type) for field in request.fields if field.message_type is not None]


def stability(rule: Rule) -> str:
    """How far callers may build on the method, and what to call instead of a deprecated one."""
    return str(rule.stability) + f"; deprecated, call {rule.replacement}" * bool(rule.replacement)


def stale_pages() -> dict[str, str]:
    """The pages that are not what the code makes now, and what it makes of them."""
    pages = {
        "docs/database.md": database_page(),
        "docs/rpcs.md": rpcs_page(),
        "docs/architecture.md": architecture_page(),
        "deploy/envoy.yaml": as_yaml(gateway_of(Settings())),
    }
    return {
        name: text for name, text in pages.items() if not (ROOT / name).exists() or (ROOT / name).read_text() != text
    }


def main() -> None:
    """Write, or compare with `--check` and exit with 1 when something is out of date."""
    stale = stale_pages()
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"out of date: {', '.join(stale)}; run `make docs`")
        return
    for name, text in stale.items():
        (ROOT / name).write_text(text)
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
