"""Which refusals a function can end with: what it and everything it calls raises, less what is caught on the way.

Nothing is run. Bodies are read as syntax trees; what a name, an attribute or a call stands for is looked up in the
imported modules and in the annotations, which mypy keeps true. A function that is only mentioned counts as called:
it is handed to somebody who calls it. A port is every class of the server that has its methods.

A refusal that is made to be returned counts as raised. What cannot be seen: refusals that arrive as values of the type
Refusal itself (`opaque` lists where those are raised), and calls of functions that arrive as arguments (they count
where they are handed over). Every branch counts as possible.
"""

from __future__ import annotations

import ast
import contextlib
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from marketd.kernel.call.refusals import Refusal

from tests.contract.program import (
    Function,
    Instance,
    Known,
    Local,
    Scope,
    Value,
    answers_of,
    classes_of,
    entered,
    evaluated,
    family_of,
    fields_of,
    is_class,
    is_in,
    items_of,
    member_of,
    of_hint,
    of_mapping,
    of_object,
    of_property,
    return_hint,
    source_of,
    standing_in,
)


@dataclass(frozen=True)
class Raised:
    """One refusal, and the module that raises it."""

    refusal: type[Refusal]
    module: str


Effects: TypeAlias = frozenset[Raised]


_NOTHING: Effects = frozenset()


class Reach:
    """The analysis over one package, all of whose modules are imported. ports: functions that stand in for a type."""

    def __init__(self, package: str, ports: Mapping[Any, Sequence[Any]] | None = None) -> None:
        self.prefix = f"{package}."
        self.ports = dict(ports or {})
        self._done: dict[ast.AST, Effects] = {}
        self._before: dict[ast.AST, Effects] = {}
        self._running: set[ast.AST] = set()
        self._methods: dict[tuple[type, str], list[Any]] = {}
        self.opaque: set[str] = set()
        """Functions that raise a refusal that came to them as a value."""

    def settle(self, functions: Iterable[Any]) -> dict[Any, Effects]:
        """What each of the functions can end with; those that call each other are gone through until nothing is new."""
        wanted = list(functions)
        while True:
            found = {function: self.of(function) for function in wanted}
            if self._done == self._before:
                return found
            self._before, self._done = self._done, {}

    def of(self, function: Any) -> Effects:
        """What calling a function or method of the package can end with."""
        found = source_of(function, self.prefix)
        if found is None:
            return _NOTHING
        node, module, owner = found
        return self._of_node(node, Scope(module), owner)

    def _of_node(self, node: Function, around: Scope, owner: type | None = None) -> Effects:
        if node in self._done:
            return self._done[node]
        if node in self._running:
            return self._before.get(node, _NOTHING)
        self._running.add(node)
        scope = Scope(around.module, outer=around)
        _bind_arguments(node, scope, owner)
        body = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
        effects = _Body(self, scope, getattr(node, "name", "<lambda>")).of(body)
        self._running.discard(node)
        self._done[node] = effects
        return effects

    def called(self, value: Value) -> Effects:
        """What calling a value can end with; of an instance, `__call__`."""
        if isinstance(value, Local):
            return self._of_node(value.node, value.scope)
        if isinstance(value, Instance):
            return _union(self.of(each) for each in self.methods(value.hint, "__call__"))
        if isinstance(value.thing, type):
            made = (member_of(value.thing, name) for name in ("__init__", "__post_init__"))
            return _union(self.of(each) for each in made if each is not None)
        return self.of(value.thing)

    def methods(self, hint: Any, name: str) -> list[Any]:
        """The functions that a method call on something of this type may run."""
        kind = typing.get_origin(hint) or hint
        if not isinstance(kind, type) or not is_in(kind.__module__, self.prefix):
            return []
        if kind in self.ports:
            return list(self.ports[kind])
        if (kind, name) not in self._methods:
            kinds = standing_in(kind, self.prefix) if getattr(kind, "_is_protocol", False) else family_of(kind)
            found = [member_of(each, name) for each in kinds]
            self._methods[kind, name] = [each for each in found if each is not None]
        return self._methods[kind, name]


class _Body:
    """The walk through one function's statements."""

    def __init__(self, reach: Reach, scope: Scope, name: str) -> None:
        self._reach = reach
        self._scope = scope
        self._name = f"{scope.module}.{name}"
        self._caught: list[tuple[str | None, Effects]] = []

    def of(self, statements: Iterable[ast.AST]) -> Effects:
        return _union(self._of(each) for each in statements)

    def _of(self, node: ast.AST) -> Effects:
        match node:
            case ast.Try() | ast.TryStar():
                return self._of_try(node)
            case ast.Raise():
                return self._of_raise(node)
            case ast.Return(value=ast.Call() as call):
                return self._children(node) | self._made(call)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._scope.add(node.name, [Local(node, self._scope)])
                return _NOTHING
            case ast.Lambda():
                return self._reach.called(Local(node, self._scope))
            case ast.With() | ast.AsyncWith():
                return self._of_with(node)
            case ast.AnnAssign(target=ast.Name(id=name)):
                self._scope.add(name, of_hint(evaluated(node.annotation, self._scope)))
                return self._children(node)
            case ast.Assign() | ast.NamedExpr():
                effects = self._children(node)
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    _assign(target, self.values(node.value), self._scope)
                return effects
            case ast.For() | ast.AsyncFor():
                effects = self._of(node.iter)
                _assign(node.target, items_of(self.values(node.iter)), self._scope)
                return effects | self.of([*node.body, *node.orelse])
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                for each in node.generators:
                    _assign(each.target, items_of(self.values(each.iter)), self._scope)
                return self._children(node)
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                return self._children(node) | self._mentioned(node)
            case ast.Call():
                # A class that is only mentioned is not made.
                made = _union(self._reach.called(value) for value in self.values(node.func) if is_class(value))
                return self._children(node) | made
        return self._children(node)

    def _children(self, node: ast.AST) -> Effects:
        return self.of(ast.iter_child_nodes(node))

    def _mentioned(self, node: ast.expr) -> Effects:
        effects = _NOTHING
        for value in self.values(node):
            if (
                isinstance(value, Local)
                or (isinstance(value, Known) and not isinstance(value.thing, type))
                or (isinstance(value, Instance) and value.hint in self._reach.ports)
            ):
                effects |= self._reach.called(value)
        if isinstance(node, ast.Attribute):
            for base in self.values(node.value):
                if isinstance(base, Instance):
                    for each in self._reach.methods(base.hint, node.attr):
                        effects |= self._reach.of(each)
        return effects

    def _of_try(self, node: ast.Try | ast.TryStar) -> Effects:
        inside = self.of(node.body)
        effects = _NOTHING
        for handler in node.handlers:
            kinds = classes_of(handler.type, self._scope)
            caught = frozenset(each for each in inside if issubclass(each.refusal, kinds))
            inside -= caught
            if handler.name:
                self._scope.add(handler.name, [Instance(each.refusal) for each in caught])
            self._caught.append((handler.name, caught))
            effects |= self.of(handler.body)
            self._caught.pop()
        return effects | inside | self.of([*node.orelse, *node.finalbody])

    def _of_with(self, node: ast.With | ast.AsyncWith) -> Effects:
        effects = _NOTHING
        passed: tuple[type, ...] = ()
        for item in node.items:
            effects |= self._of(item.context_expr)
            managers = self.values(item.context_expr)
            call = item.context_expr
            if isinstance(call, ast.Call) and any(
                isinstance(value, Known) and value.thing is contextlib.suppress for value in self.values(call.func)
            ):
                passed += tuple(each for argument in call.args for each in classes_of(argument, self._scope))
            for value in managers:
                if isinstance(value, Instance):
                    for name in ("__enter__", "__aenter__", "__exit__", "__aexit__"):
                        effects |= _union(self._reach.of(each) for each in self._reach.methods(value.hint, name))
            if item.optional_vars is not None:
                _assign(item.optional_vars, entered(managers), self._scope)
        inside = self.of(node.body)
        return effects | frozenset(each for each in inside if not issubclass(each.refusal, passed))

    def _of_raise(self, node: ast.Raise) -> Effects:
        effects = self._children(node)
        if node.exc is None:
            return effects | (self._caught[-1][1] if self._caught else _NOTHING)
        if isinstance(node.exc, ast.Name):
            for name, caught in reversed(self._caught):
                if name == node.exc.id:
                    return effects | caught
        for value in self.values(node.exc):
            kind = value.thing if isinstance(value, Known) else getattr(value, "hint", None)
            if isinstance(kind, type) and issubclass(kind, Refusal) and kind is not Refusal:
                effects |= {Raised(kind, self._scope.module)}
            elif isinstance(kind, type) and issubclass(Refusal, kind):
                self._reach.opaque.add(self._name)
        return effects

    def _made(self, call: ast.Call) -> Effects:
        """The refusal that is made here to be returned: whoever gets it raises it after the commit."""
        kinds = (value.thing for value in self.values(call.func) if is_class(value) and isinstance(value, Known))
        return frozenset(
            Raised(kind, self._scope.module)
            for kind in kinds
            if isinstance(kind, type) and issubclass(kind, Refusal) and kind is not Refusal
        )

    def values(self, node: ast.expr) -> list[Value]:
        """What an expression may stand for, as far as names and annotations tell."""
        match node:
            case ast.Name():
                return self._scope.find(node.id)
            case ast.Await() | ast.Starred() | ast.NamedExpr():
                return self.values(node.value)
            case ast.Attribute():
                return [each for base in self.values(node.value) for each in self._attribute(base, node.attr)]
            case ast.Call():
                return [each for callee in self.values(node.func) for each in self._answered(callee, node)]
            case ast.IfExp():
                return [*self.values(node.body), *self.values(node.orelse)]
            case ast.BoolOp():
                return [each for one in node.values for each in self.values(one)]
            case ast.Subscript():
                return items_of(self.values(node.value), of_mapping=1)
            case ast.Lambda():
                return [Local(node, self._scope)]
        return []

    def _attribute(self, base: Value, name: str) -> list[Value]:
        if isinstance(base, Known):
            thing = base.thing
            return of_object(member_of(thing, name) if isinstance(thing, type) else vars(thing).get(name))
        if isinstance(base, Local):
            return []
        mapped = of_mapping(base.hint, name)
        if mapped is not None:
            return [mapped]
        kind = typing.get_origin(base.hint) or base.hint
        found: list[Value] = []
        if isinstance(kind, type) and is_in(kind.__module__, self._reach.prefix):
            methods = self._reach.methods(base.hint, name)
            for each in methods:
                found += of_property(each) if isinstance(each, property | cached_property) else of_object(each)
            if not methods or not any(callable(getattr(each, "__func__", each)) for each in methods):
                found += _of_field(kind, name, self._reach.prefix)
        return found

    def _answered(self, callee: Value, call: ast.Call) -> list[Value]:
        function = callee.thing if isinstance(callee, Known) else None
        if isinstance(return_hint(function), typing.TypeVar):
            # What a generic function gives is, as a rule, what the function gives that is handed to it.
            given = [value for argument in call.args for value in self.values(argument)]
            return [each for value in given for each in self._result(value)]
        if isinstance(callee, Local):
            return self._result(callee)
        if isinstance(callee, Instance):
            answers = [answers_of(each) for each in self._reach.methods(callee.hint, "__call__")]
            return [each for answer in answers for each in answer]
        if isinstance(callee.thing, type):
            return [Instance(callee.thing)]
        return answers_of(callee.thing)

    def _result(self, value: Value) -> list[Value]:
        if isinstance(value, Local):
            if isinstance(value.node, ast.Lambda):
                scope = Scope(value.scope.module, outer=value.scope)
                _bind_arguments(value.node, scope, None)
                return _Body(self._reach, scope, "<lambda>").values(value.node.body)
            return [] if value.node.returns is None else of_hint(evaluated(value.node.returns, value.scope))
        return answers_of(value.thing) if isinstance(value, Known) and not isinstance(value.thing, type) else []


def _of_field(kind: type, name: str, prefix: str) -> list[Value]:
    hint = fields_of(kind).get(name)
    if hint is not None:
        return of_hint(hint)
    found: list[Value] = []
    for each in kind.__mro__:
        found += _assigned(each, prefix).get(name, [])
    return found


_ASSIGNED: dict[type, dict[str, list[Value]]] = {}


def _assigned(kind: type, prefix: str) -> Mapping[str, list[Value]]:
    """What a class's `__init__` puts into its attributes."""
    if kind in _ASSIGNED:
        return _ASSIGNED[kind]
    found = _ASSIGNED[kind] = {}
    source = source_of(vars(kind).get("__init__"), prefix)
    if source is None:
        return found
    node, module, owner = source
    scope = Scope(module, outer=Scope(module))
    _bind_arguments(node, scope, owner)
    body = _Body(Reach("none"), scope, "__init__")
    for each in ast.walk(node):
        match each:
            case ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self"), attr=name)):
                found.setdefault(name, []).extend(of_hint(evaluated(each.annotation, scope)))
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)]):
                found.setdefault(name, []).extend(body.values(each.value))
            case ast.Assign(targets=[ast.Name(id=name)]):
                scope.add(name, body.values(each.value))
    return found


def _assign(target: ast.AST, values: list[Value], scope: Scope) -> None:
    if isinstance(target, ast.Name):
        scope.add(target.id, values)
    elif isinstance(target, ast.Tuple | ast.List):
        for value in values:
            arguments = typing.get_args(value.hint) if isinstance(value, Instance) else ()
            if len(arguments) == len(target.elts):
                for one, argument in zip(target.elts, arguments, strict=True):
                    _assign(one, of_hint(argument), scope)


def _bind_arguments(node: Function, scope: Scope, owner: type | None) -> None:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    for position, argument in enumerate(arguments):
        hint = evaluated(argument.annotation, scope) if argument.annotation is not None else None
        own = position == 0 and owner is not None and argument.arg in ("self", "cls")
        scope.names[argument.arg] = [Instance(owner)] if own else of_hint(hint)


def _union(effects: Iterable[Effects]) -> Effects:
    return frozenset().union(*effects)
