"""The shape of the contract, judged from its descriptors: behaviours, creates, updates, lists, watches and names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import protovalidate
import pytest
from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from marketd import app as composition
from marketd.transport.access import AccessTable
from marketd.transport.rules import Kind, Rule

RULES = {rule.method: rule for rule in AccessTable.from_names(composition.SERVICES)}
NAMES = sorted(RULES)

# They make no resource of the caller's: what is made is the server's, or has a secret in it.
FLAT = {
    "CreateGuestCart", "CreateServiceAccount", "CreatePayment", "CreatePayout", "CreateTrackingShare", "CreateDelivery",
}  # fmt: skip
# Instants are imperative: these end like participles and are none, or are no facts but plans and places in time.
NOT_PARTICIPLES = {
    "occurred_time", "expected_ready_time", "expected_time", "promised_time", "open_time", "shop_open_time",
}  # fmt: skip
RESERVED_BOOLEANS: set[str] = set()
JUDGED_ONE_BY_ONE = "marketplace.tracking.v1.Position"


def short(method: str) -> str:
    return method.rpartition("/")[2]


def behaviours(field: Any) -> set[int]:
    return set(field.GetOptions().Extensions[field_behavior_pb2.field_behavior])


def rules_of(field: Any) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def ours(field: Any) -> Any:
    """The contract's own message in the field, its items or its map's values."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        message = message.fields_by_name["value"].message_type
    return message if message is not None and message.full_name.startswith("marketplace.") else None


def under(message: Any, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """The message and all of the contract's own that it carries, by name."""
    found = {} if found is None else found
    if message.full_name not in found:
        found[message.full_name] = message
        for field in message.fields:
            inner = ours(field)
            if inner is not None:
                under(inner, found)
    return found


@cache
def asked() -> dict[str, Any]:
    """Every message that a request is or carries."""
    found: dict[str, Any] = {}
    for rule in RULES.values():
        under(rule.request.DESCRIPTOR, found)
    return found


@cache
def said() -> dict[str, Any]:
    """Every message of the contract that is asked or answered with."""
    found: dict[str, Any] = {}
    for rule in RULES.values():
        under(rule.request.DESCRIPTOR, found)
        under(rule.response.DESCRIPTOR, found)
    return found


def fields() -> Iterator[tuple[str, Any]]:
    for name, message in said().items():
        for field in message.fields:
            yield f"{name}.{field.name}", field


def resource_of(rule: Rule, prefix: str) -> Any:
    """The field with the resource: it is called like the method without its verb."""
    wanted = re.sub(r"(?<!^)(?=[A-Z])", "_", short(rule.method).removeprefix(prefix)).lower()
    return rule.request.DESCRIPTOR.fields_by_name.get(wanted)


def test_every_field_of_a_request_says_how_it_behaves() -> None:
    assert [
        f"{name}.{field.name}" for name, message in asked().items() for field in message.fields if not behaviours(field)
    ] == []


def test_what_only_the_server_says_has_no_rules() -> None:
    wrong = []
    for name, message in asked().items():
        for field in message.fields:
            rules, where = rules_of(field), f"{name}.{field.name}"
            if field_behavior_pb2.OUTPUT_ONLY in behaviours(field) and rules.ByteSize():
                wrong.append(f"{where}: output only, and has rules")
            if rules.required:
                wrong.append(f"{where}: required by a rule; REQUIRED says it")
    assert wrong == []


def test_what_is_absent_keeps_every_rule_about_form() -> None:
    requests = {rule.request.DESCRIPTOR.full_name for rule in RULES.values()}
    validator = protovalidate.Validator()
    carried = {name: message for name, message in asked().items() if name not in requests}
    broken = {
        name: [str(violation.proto.rule_id) for violation in violations]
        for name, message in carried.items()
        if (violations := validator.collect_violations(GetMessageClass(message)()))
    }
    # One of them must be chosen, whatever they say.
    assert {name: rules for name, rules in broken.items() if set(rules) != {"required"}} == {}


@pytest.mark.parametrize(
    "method", [name for name in NAMES if short(name).startswith("Create") and short(name) not in FLAT]
)
def test_a_create_carries_the_resource(method: str) -> None:
    request = RULES[method].request.DESCRIPTOR
    resource = resource_of(RULES[method], "Create")
    assert resource is not None
    assert ours(resource) is not None
    assert set(request.fields_by_name) == {resource.name, "request_id"}
    assert field_behavior_pb2.REQUIRED in behaviours(resource)


@pytest.mark.parametrize(
    "method", [name for name in NAMES if "update_mask" in RULES[name].request.DESCRIPTOR.fields_by_name]
)
def test_an_update_has_the_resource_with_its_etag_and_a_mask_without_rules(method: str) -> None:
    request = RULES[method].request.DESCRIPTOR
    resource = resource_of(RULES[method], "Update")
    assert resource is not None
    assert set(request.fields_by_name) == {resource.name, "update_mask", "request_id"}
    assert "etag" in resource.message_type.fields_by_name
    assert behaviours(request.fields_by_name["update_mask"]) == {field_behavior_pb2.OPTIONAL}
    assert not rules_of(request.fields_by_name["update_mask"]).ByteSize()


@pytest.mark.parametrize(
    "method", [name for name in NAMES if "page_size" in RULES[name].request.DESCRIPTOR.fields_by_name]
)
def test_a_list_is_sorted_as_asked_and_takes_many_values_of_a_filter(method: str) -> None:
    request = RULES[method].request.DESCRIPTOR
    assert request.fields_by_name["order_by"].type == FieldDescriptor.TYPE_STRING
    for field in request.fields:
        if field.enum_type is not None:
            assert field.is_repeated, field.name
            rules = rules_of(field).repeated
            assert rules.unique
        if field.name.endswith(("_id", "_ids")) and field.name not in ("request_id",):
            assert field.is_repeated or field_behavior_pb2.REQUIRED in behaviours(field), field.name


def test_there_is_one_heartbeat_and_one_reset() -> None:
    pool: Any = descriptor_pool.Default()
    assert pool.FindMessageTypeByName("marketplace.type.v1.Heartbeat")
    named = [name for name in said() if name.rpartition(".")[2] in ("Heartbeat", "Reset", "StreamReset")]
    assert sorted(named) == ["marketplace.type.v1.Heartbeat", "marketplace.type.v1.StreamReset"]


@pytest.mark.parametrize("method", [name for name in NAMES if short(name).startswith("Watch")])
def test_watches_speak_one_language(method: str) -> None:
    rule = RULES[method]
    assert rule.kind is Kind.SERVER_STREAM
    answer, request = rule.response.DESCRIPTOR, rule.request.DESCRIPTOR
    what: Any
    (what,) = [one for one in answer.oneofs if not one.name.startswith("_")]
    names: dict[str, Any] = {field.name: field for field in what.fields}
    assert names["heartbeat"].message_type.full_name == "marketplace.type.v1.Heartbeat"
    if "resume_token" in answer.fields_by_name:
        assert "resume_token" in request.fields_by_name
        assert names["reset"].message_type.full_name == "marketplace.type.v1.StreamReset"
    assert "snapshot" in names


def test_instants_are_imperative() -> None:
    wrong = []
    for name, field in fields():
        if field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
            stem = re.sub(r"_time(_from|_before)?$", "", field.name)
            if stem == field.name and field.name != "if_changed_since":
                wrong.append(f"{name}: not called …_time")
            if field.name not in NOT_PARTICIPLES and re.search(r"(?:^|_)\w+(?:ed|en|id|sent|lost|seen)$", stem):
                wrong.append(f"{name}: a participle")
    assert wrong == []


def test_booleans_are_bare_words() -> None:
    assert [
        name
        for name, field in fields()
        if field.type == FieldDescriptor.TYPE_BOOL and re.match(r"(is|has|was)_", field.name)
    ] == sorted(RESERVED_BOOLEANS)


def test_spans_are_durations() -> None:
    assert [
        name
        for name, field in fields()
        if field.message_type is None and re.search(r"_(seconds|minutes|hours|days|millis|ms)$", field.name)
    ] == []


# A bound, called as shops call it.
MONEY_BY_ITS_OWN_NAME = {"max_discount"}


def test_amounts_of_money_say_what_they_are() -> None:
    good = re.compile(r"(^|_)(price|fee|subtotal|total|amount|minimum|maximum)$")
    assert [
        name
        for name, field in fields()
        if field.message_type is not None
        and field.message_type.full_name == "google.type.Money"
        and field.name not in MONEY_BY_ITS_OWN_NAME
        and not good.search(field.name)
    ] == []


def test_enums_begin_with_what_is_not_stated_and_carry_their_name() -> None:
    for name, field in fields():
        enum = field.enum_type
        if enum is None or not enum.full_name.startswith("marketplace."):
            continue
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
        assert enum.values[0].name == f"{prefix}_UNSPECIFIED", name
        assert all(value.name.startswith(f"{prefix}_") for value in enum.values), name


def test_money_has_no_rules_of_its_own() -> None:
    assert [
        name
        for name, field in fields()
        if field.message_type is not None
        and field.message_type.full_name == "google.type.Money"
        and rules_of(field).ByteSize()
    ] == []


def test_positions_are_judged_one_by_one() -> None:
    message: Descriptor = said()[JUDGED_ONE_BY_ONE]
    assert all(not rules_of(field).ByteSize() for field in message.fields)
