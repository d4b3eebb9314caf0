"""The access table: what the descriptors say is what holds, and a hole in it is found before the server starts."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from marketd.kernel.call import caller, reasons
from marketd.kernel.call.caller import Role
from marketd.transport import rules
from marketd.transport.access import AccessTable
from marketd.transport.own_rules import CHANNELZ, HEALTH
from marketd.transport.rules import Idempotency, Kind, Open, RateClass
from marketd.transport.start_errors import HandlersUnfit, MethodsWithoutRule
from marketplace.errors.v1 import error_reason_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.policy.v1 import policy_pb2

NONE, READ = policy_pb2.IDEMPOTENCY_NONE, policy_pb2.RATE_CLASS_READ
PUBLIC = policy_pb2.Public()


def service(**written: policy_pb2.Rule | None) -> ServiceDescriptor:
    """A service of its own file, with one method for each rule."""
    package = f"t{uuid4().hex}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append("marketplace/policy/v1/policy.proto")
    file.message_type.add(name="Empty")
    declared = file.service.add(name="Service")
    for name, rule in written.items():
        method = declared.method.add(name=name, input_type=f".{package}.Empty", output_type=f".{package}.Empty")
        if rule is not None:
            method.options.Extensions[policy_pb2.rule].CopyFrom(rule)
        method.options.deprecated = name.startswith("Old")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{package}.Service")


def rule(**parts: Any) -> policy_pb2.Rule:
    return policy_pb2.Rule(**{"idempotency": NONE, "rate_class": READ, "stability": policy_pb2.STABILITY_BETA, **parts})


def test_every_method_with_a_hole_in_its_rule_is_named() -> None:
    holes = service(
        Bare=None,
        Nobody=rule(),
        NoRole=rule(roles=policy_pb2.Roles()),
        RoleZero=rule(roles=policy_pb2.Roles(any_of=[policy_pb2.ROLE_BUYER, policy_pb2.ROLE_UNSPECIFIED])),
        NoClass=rule(public=PUBLIC, rate_class=policy_pb2.RATE_CLASS_UNSPECIFIED),
        NoIdempotency=rule(public=PUBLIC, idempotency=policy_pb2.IDEMPOTENCY_UNSPECIFIED),
        NewerRole=policy_pb2.Rule.FromString(b"\x1a\x03\x0a\x01\x63\x20\x01\x28\x01"),
        NoStability=rule(public=PUBLIC, stability=policy_pb2.STABILITY_UNSPECIFIED),
        Excused=rule(public=PUBLIC, idempotency=policy_pb2.IDEMPOTENCY_KEY_OPTIONAL, unrepeatable="it need not be"),
        OldAlone=rule(public=PUBLIC),
        OldVague=rule(public=PUBLIC, replacement="the new one"),
        Replaced=rule(public=PUBLIC, replacement="probe.v1.Service/New"),
        OldWhole=rule(public=PUBLIC, replacement="probe.v1.Service/New"),
        Whole=rule(public=PUBLIC),
    )
    with pytest.raises(MethodsWithoutRule) as caught:
        AccessTable.from_services([holes])
    named = {problem.partition(":")[0].rpartition("/")[2] for problem in caught.value.problems}
    assert named == {"Bare", "Nobody", "NoRole", "RoleZero", "NoClass", "NoIdempotency", "NewerRole"} | {
        *("NoStability", "Excused", "OldAlone", "OldVague", "Replaced"),
    }
    assert f"/{holes.full_name}/Bare" in str(caught.value)


def test_a_service_without_contract_is_named() -> None:
    with pytest.raises(HandlersUnfit, match="NoSuchService"):
        AccessTable.from_names(["NoSuchService"])


def test_the_rules_of_the_contract_are_read_whole() -> None:
    table = AccessTable.from_names(["marketplace.order.v1.OrderService"])
    place = table.get("/marketplace.order.v1.OrderService/PlaceOrder")
    assert place is not None
    assert (place.access, place.idempotency, place.rate_class, place.kind) == (
        frozenset({Role.BUYER}),
        Idempotency.KEY_REQUIRED,
        RateClass.CHECKOUT,
        Kind.UNARY,
    )
    assert place.request is order_service_pb2.PlaceOrderRequest
    watch = table.get("/marketplace.order.v1.OrderService/WatchOrder")
    assert watch is not None
    assert watch.kind is Kind.SERVER_STREAM
    assert table.get("/marketplace.order.v1.OrderService/Nothing") is None


def test_the_policy_document_is_the_contracts() -> None:
    spoken = service(
        Read=rule(public=PUBLIC, stability=policy_pb2.STABILITY_STABLE),
        Send=rule(public=PUBLIC, unrepeatable="the answer holds a secret"),
        OldRead=rule(public=PUBLIC, replacement="probe.v1.Service/Read"),
        Own=rule(authenticated=policy_pb2.Authenticated(), audit=True),
        Sell=rule(roles=policy_pb2.Roles(any_of=[policy_pb2.ROLE_SELLER, policy_pb2.ROLE_ADMIN])),
    )
    document = AccessTable.from_services([spoken]).policy_document()
    usual = {
        "access": ["PUBLIC"],
        "idempotency": "NONE",
        "rate_class": "READ",
        "audit": False,
        "stability": "BETA",
        "unrepeatable": "",
        "replacement": "",
    }
    own = f"/{spoken.full_name}"
    assert document == {
        "methods": [
            {**usual, "method": f"{own}/OldRead", "replacement": "probe.v1.Service/Read"},
            {**usual, "method": f"{own}/Own", "access": ["AUTHENTICATED"], "audit": True},
            {**usual, "method": f"{own}/Read", "stability": "STABLE"},
            {**usual, "method": f"{own}/Sell", "access": ["ADMIN", "SELLER"]},
            {**usual, "method": f"{own}/Send", "unrepeatable": "the answer holds a secret"},
        ]
    }


def test_health_is_vital_and_public_and_channelz_is_for_administrators() -> None:
    table = AccessTable.from_names([HEALTH, CHANNELZ])
    assert {rule.access for rule in table if rule.vital} == {Open.PUBLIC}
    assert {rule.method.split("/")[1] for rule in table if rule.vital} == {HEALTH}
    assert {rule.access for rule in table if not rule.vital} == {frozenset({Role.ADMIN})}


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (caller.Role, policy_pb2.Role, "ROLE_"),
        (rules.Idempotency, policy_pb2.Idempotency, "IDEMPOTENCY_"),
        (rules.RateClass, policy_pb2.RateClass, "RATE_CLASS_"),
        (rules.Stability, policy_pb2.Stability, "STABILITY_"),
        (reasons.Reason, error_reason_pb2.ErrorReason, "ERROR_REASON_"),
    ],
)
def test_our_words_are_the_contracts(ours: Any, theirs: Any, prefix: str) -> None:
    names = {name.removeprefix(prefix) for name in theirs.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - no mapping
    assert {word.value for word in ours} == names
