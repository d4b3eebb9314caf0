"""What names, attributes and annotations stand for in the modules of a program: looked up, never run.

Values are what an expression may be as far as annotations tell: something known (a module, a class, a function), an
instance of a type, or a function inside of another one.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, eq=False)
class Known:
    """A module, class or function of the program."""

    thing: Any


@dataclass(frozen=True, eq=False)
class Instance:
    """Something of this type, which may be generic."""

    hint: Any


@dataclass(frozen=True, eq=False)
class Local:
    """A function inside of another one."""

    node: Function
    scope: Scope


Value: TypeAlias = Known | Instance | Local


@dataclass(eq=False)
class Scope:
    """The names of one function: its module's, those around it, its own."""

    module: str
    names: dict[str, list[Value]] = field(default_factory=dict)
    outer: Scope | None = None

    def find(self, name: str) -> list[Value]:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        space = vars(sys.modules[self.module])
        return of_object(space[name]) if name in space else []

    def add(self, name: str, values: Iterable[Value]) -> None:
        known = self.names.setdefault(name, [])
        known += (each for each in values if not any(_same(each, one) for one in known))


def of_object(thing: Any) -> list[Value]:
    if thing is None or isinstance(thing, str | int | float | bytes | frozenset | tuple | dict):
        return []
    if isinstance(thing, staticmethod | classmethod):
        thing = thing.__func__
    if isinstance(thing, type | types.ModuleType | types.FunctionType):
        return [Known(thing)]
    return [Instance(type(thing))]


def of_hint(hint: Any) -> list[Value]:
    """What a value of this annotation may be; a function's or coroutine's own answer is what it stands for."""
    if hint is None or hint is type(None) or hint is Any or isinstance(hint, typing.TypeVar | str):
        return []
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return [each for one in arguments for each in of_hint(one)]
    if origin is type:
        return [Known(arguments[0])]
    if getattr(origin, "__name__", "") in ("Awaitable", "Coroutine"):
        return of_hint(arguments[-1])
    return [Instance(hint)]


def items_of(values: Iterable[Value], of_mapping: int = 0) -> list[Value]:
    found: list[Value] = []
    for value in values:
        arguments = typing.get_args(value.hint) if isinstance(value, Instance) else ()
        if len(arguments) == 2 and _is_mapping(value):
            found += of_hint(arguments[of_mapping])
        else:
            found += [each for argument in arguments[:1] for each in of_hint(argument)]
    return found


def entered(values: Iterable[Value]) -> list[Value]:
    """What `with` gives: what the manager's annotation holds, or the thing itself."""
    found: list[Value] = []
    for value in values:
        arguments = typing.get_args(value.hint) if isinstance(value, Instance) else ()
        found += of_hint(arguments[0]) if arguments else [value]
    return found


def _is_mapping(value: Value) -> bool:
    origin = typing.get_origin(value.hint) if isinstance(value, Instance) else None
    return isinstance(origin, type) and issubclass(origin, Mapping)


def of_mapping(hint: Any, name: str) -> Value | None:
    """The function that a mapping's method stands for, as something that answers with its values."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if not (isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2):
        return None
    answers = {"get": arguments[1], "pop": arguments[1], "values": Iterable[arguments[1]]}  # type: ignore[valid-type]

    def answer() -> Any: ...

    answer.__annotations__["return"] = answers.get(name)
    return Known(answer)


def of_property(thing: Any) -> list[Value]:
    return answers_of(thing.fget if isinstance(thing, property) else thing.func)


def answers_of(function: Any) -> list[Value]:
    return of_hint(return_hint(function))


def return_hint(function: Any) -> Any:
    function = _plain(function)
    hint = getattr(function, "__annotations__", {}).get("return")
    return evaluated(hint, Scope(function.__module__)) if isinstance(hint, str) else hint


@cache
def fields_of(kind: type) -> Mapping[str, Any]:
    """The annotations of a class and those above it."""
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        for name, hint in vars(each).get("__annotations__", {}).items():
            found[name] = evaluated(hint, Scope(each.__module__)) if isinstance(hint, str) else hint
    return found


def _plain(function: Any) -> Any:
    if isinstance(function, property | cached_property):
        function = function.fget if isinstance(function, property) else function.func
    return inspect.unwrap(getattr(function, "__func__", function))


def source_of(function: Any, prefix: str) -> tuple[Function, str, type | None] | None:
    """The syntax tree of a function of the program, its module, and the class that it stands in."""
    function = _plain(function)
    if not isinstance(function, types.FunctionType) or not is_in(function.__module__, prefix):
        return None
    node = _functions(function.__module__).get(function.__qualname__)
    if node is None:
        return None
    owner: Any = sys.modules[function.__module__]
    for name in function.__qualname__.split(".")[:-1]:
        owner = getattr(owner, name)
    return node, function.__module__, owner if isinstance(owner, type) else None


@cache
def _functions(module: str) -> Mapping[str, Function]:
    """The functions of a module by their qualified names."""
    try:
        tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    except (OSError, TypeError):
        return {}
    return dict(_named(tree, ""))


def _named(node: ast.AST, path: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _named(child, f"{path}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}{child.name}", child
        elif isinstance(child, ast.If | ast.Try):
            yield from _named(child, path)


def member_of(kind: type, name: str) -> Any:
    """What a class or one above it has under the name, as it stands there."""
    return next((vars(each)[name] for each in kind.__mro__ if name in vars(each)), None)


@cache
def family_of(kind: type) -> tuple[type, ...]:
    """A class and those below it."""
    below: list[type] = type.__subclasses__(kind)
    return (kind, *(each for one in below for each in family_of(one)))


@cache
def _all_classes(prefix: str) -> tuple[type, ...]:
    """Every class that a module of the program defines."""
    spaces = [vars(module) for name, module in list(sys.modules.items()) if is_in(name, prefix)]
    found = (thing for space in spaces for thing in space.values() if isinstance(thing, type))
    return tuple(dict.fromkeys(each for each in found if is_in(each.__module__, prefix)))


@cache
def standing_in(protocol: type, prefix: str) -> tuple[type, ...]:
    """The classes of the program that have the methods of a protocol."""
    wanted = {name for name in vars(protocol) if not name.startswith("_") or name == "__call__"}
    return tuple(
        each
        for each in _all_classes(prefix)
        if not getattr(each, "_is_protocol", False) and all(hasattr(each, name) for name in wanted)
    )


def evaluated(annotation: ast.expr | str, scope: Scope) -> Any:
    """The type that an annotation names; None for what is imported for type checkers only."""
    return _evaluated(annotation if isinstance(annotation, str) else _text(annotation), scope.module)


@cache
def _text(node: ast.expr) -> str:
    return ast.unparse(node)


@cache
def _evaluated(text: str, module: str) -> Any:
    try:
        return eval(text.strip("'\""), vars(sys.modules[module]))  # noqa: S307 - our own source
    except (NameError, AttributeError, TypeError, SyntaxError):
        return None


def classes_of(node: ast.expr | None, scope: Scope) -> tuple[type, ...]:
    """The exceptions that `except` or suppress() name."""
    if node is None:
        return (BaseException,)
    if isinstance(node, ast.Tuple):
        return tuple(each for one in node.elts for each in classes_of(one, scope))
    return _classes(_text(node), scope.module)


@cache
def _classes(text: str, module: str) -> tuple[type, ...]:
    try:
        found = eval(text, {**vars(builtins), **vars(sys.modules[module])})  # noqa: S307 - our own source
    except (NameError, AttributeError):
        return ()
    return tuple(each for each in (found if isinstance(found, tuple) else (found,)) if isinstance(each, type))


def _same(one: Value, other: Value) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Known):
        return one.thing is other.thing  # type: ignore[union-attr]
    return one.hint == other.hint if isinstance(one, Instance) else one.node is other.node  # type: ignore[union-attr]


def is_in(module: str, prefix: str) -> bool:
    return f"{module}.".startswith(prefix)


def is_class(value: Value) -> bool:
    return isinstance(value, Known) and isinstance(value.thing, type)
