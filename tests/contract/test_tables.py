"""Nobody reads another room's tables: who wants to know something of them asks the room that owns them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import marketd
import pytest

PACKAGE = Path(marketd.__path__[0])
# Invariants may read several rooms' tables: that they agree is what is checked. The benchmark stands outside.
FREE = ("bench", "demo")
NAMED = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+(?:ONLY\s+)?([a-z_]+)")


def owners() -> dict[str, str]:
    """The room of each table, as the models say."""
    found: dict[str, str] = {}
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r'__tablename__ = "(\w+)"', path.read_text()):
            found[name] = path.relative_to(PACKAGE).parts[0]
    return found


def literals(text: str) -> Iterator[tuple[int, str]]:
    """The string literals of a source, parts of f-strings included, with their lines; docstrings are none."""
    tree = ast.parse(text)
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def foreign(text: str, room: str, owner_of: dict[str, str]) -> list[str]:
    """What of other rooms' tables the source names in SQL."""
    return [
        f"line {line}: {table} is {owner_of[table]}'s"
        for line, literal in literals(text)
        for table in NAMED.findall(literal)
        if owner_of.get(table, room) != room
    ]


def test_no_room_reads_anothers_tables() -> None:
    owner_of = owners()
    assert len(owner_of) > 40
    found: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        if room not in FREE and path.name != "invariants.py":
            found += [f"{path.relative_to(PACKAGE)}: {what}" for what in foreign(path.read_text(), room, owner_of)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'A = "SELECT 1 FROM outbox_events WHERE seq > $1"',
        'A = f"SELECT {b} FROM orders o JOIN outbox_events e USING (order_id)"',
        'A = "WITH x AS (UPDATE outbox_events SET attempts = 0) SELECT 1"',
    ],
)
def test_a_look_into_anothers_table_is_found(source: str) -> None:
    assert foreign(source, "order", {"orders": "order", "outbox_events": "kernel"}) == [
        "line 1: outbox_events is kernel's"
    ]
