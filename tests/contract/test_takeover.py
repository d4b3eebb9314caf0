"""Nothing writes to accounts that was not looked at: could a stolen access token take one over by it?"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import marketd
from marketd import app
from marketd.auth import service

from tests.worlds.takeover import FUNCTIONS, GUARDS

_READS = ("Get", "List", "BatchGet")
# What others may know of auth: its door, its events, the ports that it declares, how their values look as messages; and
# what puts a process together.
_DOORS = {"marketd.auth", "marketd.auth.convert", "marketd.auth.events", "marketd.auth.ports", "marketd.auth.service"}
_ASSEMBLY = {"app", "process", "commands"}
_ROOT = Path(marketd.__file__).parent


def _written_by_rpcs() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {service: set() for service in GUARDS}
    for rule in app.access_table():
        service, _, name = rule.method.removeprefix("/").partition("/")
        if service.startswith("marketplace.auth.") and not name.startswith(_READS):
            found.setdefault(service, set()).add(name)
    return found


def test_every_rpc_that_writes_to_accounts_was_judged() -> None:
    assert _written_by_rpcs() == {service: set(guards) for service, guards in GUARDS.items()}


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(_ROOT.rglob("*.py")):
        room = path.relative_to(_ROOT).parts[0].removesuffix(".py")
        text = path.read_text()
        if room != "auth" and room not in _ASSEMBLY and "marketd.auth" in text:
            yield path, ast.parse(text)


def test_other_slices_reach_accounts_through_the_judged_functions_alone() -> None:
    called: set[str] = set()
    for path, module in _modules():
        aliases: set[str] = set()
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("marketd.auth"):
                assert node.module in _DOORS, f"{path.relative_to(_ROOT)} goes round auth.service: {node.module}"
                aliases |= {each.asname or each.name for each in node.names if each.name == "service"}
                called |= {each.name for each in node.names if node.module == "marketd.auth.service"}
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                called.add(node.attr)
    assert {name for name in called if _writes(getattr(service, name, None))} <= set(FUNCTIONS)


def _writes(function: object) -> bool:
    """Whether it gets a unit of work that can write."""
    if not inspect.isfunction(function):
        return False
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.annotation == "UnitOfWork"
