"""The access table: the rule of every method of the registered services, read from the contract's descriptors.

What is not in the table does not exist for the chain; a service with an unruled method keeps the server from starting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from marketplace.policy.v1 import policy_pb2

from marketd.kernel.call.caller import Role
from marketd.transport.own_rules import own_rules
from marketd.transport.rules import Access, Idempotency, Kind, Open, RateClass, Rule, Stability
from marketd.transport.start_errors import HandlersUnfit, MethodsWithoutRule

# It travels in metadata, which is ASCII, and programs read it.
_REPLACEMENT = re.compile(r"[a-z0-9_.]+\.[A-Za-z0-9]+/[A-Za-z0-9]+", re.ASCII)


class MethodPolicy(TypedDict):
    """One line of `marketd policy --json`."""

    method: str
    access: list[str]
    idempotency: str
    rate_class: str
    audit: bool
    stability: str
    unrepeatable: str
    replacement: str


class PolicyDocument(TypedDict):
    """All of `marketd policy --json`."""

    methods: list[MethodPolicy]


class _Unruled(Exception):
    """What is missing in one method's rule."""


class AccessTable:
    """The rules by method path, such as `/marketplace.order.v1.OrderService/PlaceOrder`."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = dict(rules)

    @classmethod
    def from_services(cls, services: Iterable[ServiceDescriptor]) -> AccessTable:
        """Read the rules of all methods. Raises MethodsWithoutRule, which names every method that lacks one."""
        own = own_rules()
        rules: dict[str, Rule] = {}
        problems: list[str] = []
        for service in services:
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                try:
                    rules[path] = own.get(path) or _read(path, method)
                except _Unruled as problem:
                    problems.append(f"{path}: {problem}")
        if problems:
            raise MethodsWithoutRule(problems)
        return cls(rules)

    @classmethod
    def from_names(cls, services: Iterable[str]) -> AccessTable:
        """The same by full names, such as `marketplace.order.v1.OrderService`; their stubs must have been imported."""
        return cls.from_services([_descriptor(name) for name in services])

    def get(self, method: str) -> Rule | None:
        """The rule of the method, or None: the method does not exist."""
        return self._rules.get(method)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)

    def policy_document(self) -> PolicyDocument:
        """The table as `marketd policy --json` prints it, sorted by method."""
        return {
            "methods": [
                {
                    "method": rule.method,
                    "access": rule.access_names,
                    "idempotency": str(rule.idempotency),
                    "rate_class": str(rule.rate_class),
                    "audit": rule.audit,
                    "stability": str(rule.stability),
                    "unrepeatable": rule.unrepeatable,
                    "replacement": rule.replacement,
                }
                for rule in sorted(self, key=lambda rule: rule.method)
            ]
        }


def _descriptor(service: str) -> ServiceDescriptor:
    try:
        return descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        raise HandlersUnfit([f"{service}: no contract of that name is loaded"]) from None


def _read(path: str, method: MethodDescriptor) -> Rule:
    options = method.GetOptions()
    if not options.HasExtension(policy_pb2.rule):
        raise _Unruled("it has no rule")
    written = options.Extensions[policy_pb2.rule]
    idempotency = Idempotency(_name(policy_pb2.Idempotency, written.idempotency, "IDEMPOTENCY_"))
    if written.unrepeatable and idempotency is not Idempotency.NONE:
        raise _Unruled("it takes a request_id, and its rule says why it takes none")
    if options.deprecated and not _REPLACEMENT.fullmatch(written.replacement):
        raise _Unruled("it is deprecated, and its rule does not name the method to call instead")
    if written.replacement and not options.deprecated:
        raise _Unruled("its rule names a replacement, and it is not deprecated")
    return Rule(
        method=path,
        access=_access(written),
        idempotency=idempotency,
        rate_class=RateClass(_name(policy_pb2.RateClass, written.rate_class, "RATE_CLASS_")),
        audit=written.audit,
        kind=Kind.of(client_streams=method.client_streaming, server_streams=method.server_streaming),
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        stability=Stability(_name(policy_pb2.Stability, written.stability, "STABILITY_")),
        unrepeatable=written.unrepeatable,
        replacement=written.replacement,
    )


def _access(written: policy_pb2.Rule) -> Access:
    match written.WhichOneof("access"):
        case "public":
            return Open.PUBLIC
        case "authenticated":
            return Open.AUTHENTICATED
        case "roles" if written.roles.any_of:
            return frozenset(Role(_name(policy_pb2.Role, number, "ROLE_")) for number in written.roles.any_of)
        case "roles":
            raise _Unruled("its rule names no role")
        case _:
            raise _Unruled("its rule does not say who may call it")


_Word = type[policy_pb2.Role] | type[policy_pb2.Idempotency] | type[policy_pb2.RateClass] | type[policy_pb2.Stability]


def _name(enum: _Word, number: int, prefix: str) -> str:
    """The word of an enum value without its prefix; unspecified and unknown numbers are holes in the rule."""
    value = enum.DESCRIPTOR.values_by_number.get(number)
    if number == 0 or value is None:
        raise _Unruled(f"its rule leaves {enum.DESCRIPTOR.name} unspecified")
    return value.name.removeprefix(prefix)
