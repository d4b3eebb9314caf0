"""Every SQL statement in the server's source: where it is sent, and its text where that is fixed.

A statement is the first argument of a call of a connection's method. Its text is fixed when it is made of literals and
of the module's constants; what has optional parts is made while the program runs, and has to be made to be known.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import marketd

SENDING = frozenset({"fetch", "fetchrow", "fetchval", "execute", "executemany"})
PACKAGE = Path(marketd.__path__[0])
# What does not serve: the benchmark's floors have schemas of their own, and the embedded cluster has no tables yet.
OUTSIDE = ("bench", "embedded")


@dataclass(frozen=True)
class Site:
    """One place that sends a statement. `text` is None where it is made while the program runs."""

    module: str
    function: str
    line: int
    text: str | None


def sites() -> Iterator[Site]:
    """Every place, in the order of files and lines."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in OUTSIDE:
            continue
        tree = ast.parse(path.read_text())
        calls = list(_calls(tree, ()))
        if not calls:
            continue
        module = importlib.import_module(".".join(("marketd", *parts)))
        for function, call in calls:
            yield Site(module.__name__, function, call.lineno, _text(module, call.args[0]))


def _calls(node: ast.AST, inside: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from _calls(child, (*inside, child.name) if named else inside)  # type: ignore[attr-defined]
        if (
            isinstance(child, ast.Call)
            and isinstance(child.func, ast.Attribute)
            and child.func.attr in SENDING
            and child.args
            and "connection" in ast.unparse(child.func.value) + "driver"
        ):
            yield ".".join(inside), child


def _text(module: ModuleType, expression: ast.expr) -> str | None:
    try:
        value = eval(compile(ast.Expression(expression), module.__name__, "eval"), vars(module))  # noqa: S307 - our own source
    except NameError:
        return None
    return value if isinstance(value, str) else None
