"""The OpenAPI document says what the contract says: each binding, parameter, rule and refusal, and nothing twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from buf.validate import validate_pb2
from marketd.app import SERVICES
from marketd.cli import application
from marketd.gateway.files import services
from marketd.gateway.openapi.comments import method_words
from marketd.gateway.openapi.document import document, written
from marketd.gateway.openapi.refusals import STATUSES
from marketd.gateway.openapi.rules import RuleUntold, told
from marketd.transport.access import AccessTable
from marketd.transport.descriptors import json_name
from marketd.transport.rules import Idempotency, Kind, Open
from marketd.transport.server_info import contract_digest
from openapi_spec_validator import OpenAPIV31SpecValidator
from typer.testing import CliRunner

from tests.contract.comments import reason_comments, rpc_reasons
from tests.worlds.bindings import bindings
from tests.worlds.foreign import ROOT, fetched, succeed

DOCUMENT = document(services())
OPERATIONS = {
    (verb.upper(), path): operation for path, verbs in DOCUMENT["paths"].items() for verb, operation in verbs.items()
}
RULES = [rule for rule in AccessTable.from_names(SERVICES) if list(bindings(rule))]


OF_THE_GATEWAY = (413, 415, 431)
"""They have a status of their own, and the reasons of others."""


def operation(name: str) -> dict[str, Any]:
    """The operation of an rpc, such as `OrderService_CancelOrder`."""
    found: dict[str, Any]
    [found] = [each for each in OPERATIONS.values() if each["operationId"] == name]
    return found


def schema(name: str) -> dict[str, Any]:
    """A component's schema."""
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return found


def response(status: int, of: dict[str, Any]) -> dict[str, Any]:
    """An operation's response, which may stand among the components."""
    found: dict[str, Any] = of["responses"][str(status)]
    name = found.get("$ref", "").rpartition("/")[2]
    shared: dict[str, dict[str, Any]] = DOCUMENT["components"]["responses"]
    return shared[name] if name else found


def parameters(of: dict[str, Any], place: str) -> dict[str, dict[str, Any]]:
    """An operation's parameters in the path, query or header, by name."""
    shared = DOCUMENT["components"]["parameters"]
    all_of = [shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in of["parameters"]]
    return {each["name"]: each for each in all_of if each["in"] == place}


def test_it_is_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_redocly_finds_nothing(tmp_path: Path) -> None:
    program = fetched("node_modules/@redocly/cli/bin/cli.js")
    file = tmp_path / "openapi.json"
    file.write_bytes(written(services()))
    config = ROOT / "tests" / "node" / "redocly.yaml"
    said = succeed(
        *(fetched("node"), program, "lint", file, "--config", config, "--format", "json"),
        folder=tmp_path,
        REDOCLY_TELEMETRY="off",
        REDOCLY_SUPPRESS_UPDATE_NOTICE="true",
    )
    assert json.loads(said[said.index("{") :])["problems"] == []


def test_the_same_contract_makes_the_same_bytes_and_its_digest_stands_in_them() -> None:
    assert written(SERVICES) == written(reversed(SERVICES)) == written(services())
    assert DOCUMENT["info"]["x-contract-digest"] == contract_digest(SERVICES)
    assert DOCUMENT["servers"] == [{"url": "/", "description": "The address that this document comes from."}]


def test_every_binding_is_an_operation_and_no_two_have_one_name() -> None:
    wanted = {(each.verb, json_path(each.path)) for rule in RULES for each in bindings(rule)}
    assert set(OPERATIONS) == wanted
    names = [each["operationId"] for each in OPERATIONS.values()]
    assert len(names) == len(set(names)) > 130
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {each["tags"][0] for each in OPERATIONS.values()}
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def json_path(template: str) -> str:
    """`/v1/users/{user.user_id}` is `/v1/users/{userId}`."""
    for rule in RULES:
        for each in bindings(rule):
            if each.path == template:
                for variable in each.variables:
                    template = template.replace(f"{{{variable}}}", f"{{{json_name(variable.rpartition('.')[2])}}}")
                return template
    raise AssertionError(template)


def test_every_field_of_a_request_has_one_place() -> None:
    for rule in RULES:
        for binding in bindings(rule):
            found = OPERATIONS[(binding.verb, json_path(binding.path))]
            fields = {field.json_name: field for field in rule.request.DESCRIPTOR.fields}
            in_path = {json_name(each) for each in binding.variables if "." not in each}
            in_query = {name.partition(".")[0] for name in parameters(found, "query")}
            content = found.get("requestBody", {"content": {}})["content"].get("application/json", {})
            if binding.body == "*":
                body = set(schema(content["schema"]["$ref"].rpartition("/")[2]).get("properties", ()))
                assert not in_query
            else:
                body = {json_name(binding.body)} if binding.body else set()
            assert in_path | in_query | body == set(fields), binding
            assert not in_path & (in_query | body), binding


def test_refusals_are_those_of_the_chain_and_of_the_comment_with_their_statuses() -> None:
    for rule in RULES:
        for binding in bindings(rule):
            found = OPERATIONS[(binding.verb, json_path(binding.path))]
            told_of: dict[str, int] = {}
            for status in (int(each) for each in found["responses"] if int(each) not in (200, 304, *OF_THE_GATEWAY)):
                told_of |= dict.fromkeys(response(status, found)["x-reasons"], status)
            assert rpc_reasons()[rule.method] <= set(told_of), rule.method
            assert {"TOKEN_EXPIRED", "RATE_LIMITED", "OVERLOADED", "DEADLINE_EXCEEDED", "INTERNAL"} <= set(told_of)
            assert ("UNAUTHENTICATED" in told_of) == (rule.access is not Open.PUBLIC)
            assert told_of == {reason: STATUSES[reason_comments()[reason].code] for reason in told_of}


def test_a_comments_causes_come_with_their_reasons() -> None:
    words = method_words(
        "Does it. Errors: IN_USE, CART_EMPTY when x or y, ALREADY_EXISTS (z), and NOT_FOUND.", reason_comments()
    )
    assert words.text == "Does it."
    assert words.reasons == {"IN_USE": "", "CART_EMPTY": "when x or y", "ALREADY_EXISTS": "(z)", "NOT_FOUND": ""}
    assert method_words("Does it. Errors: none of its own.", reason_comments()).reasons == {}
    assert "for the order or a line" in response(404, operation("OrderService_CancelOrder"))["description"]


def test_the_rule_of_a_method_is_told_to_people_and_programs() -> None:
    for rule in RULES:
        for binding in bindings(rule):
            found = OPERATIONS[(binding.verb, json_path(binding.path))]
            assert found["x-access"] == rule.access_names
            assert found["security"] == ([{}, {"bearer": []}] if rule.access is Open.PUBLIC else [{"bearer": []}])
            assert f"- Limit: {rule.rate_class}\n" in found["description"]
            key = parameters(found, "header").get("Idempotency-Key")
            assert (key is None) == (rule.idempotency is Idempotency.NONE)
            assert key is None or key.get("required", False) == (rule.idempotency is Idempotency.KEY_REQUIRED)
            kinds = set(found["responses"]["200"]["content"])
            stream = {"image/*"} if rule.method.endswith("/DownloadMedia") else {"application/x-ndjson"}
            assert kinds == (stream if rule.kind is Kind.SERVER_STREAM else {"application/json"})


def test_what_is_sent_requires_what_must_be_given_and_what_is_answered_what_is_printed() -> None:
    sent, answered, changed = schema("SellerInput"), schema("Seller"), schema("SellerPatch")
    assert sent["required"] == ["shopName", "pickupAddress"]
    assert "required" not in changed
    assert "sellerId" in answered["required"]
    assert "pickupAddress" not in answered["required"]  # only the owner and admins see it
    assert answered["properties"]["sellerId"]["readOnly"]
    assert "sellerId" not in sent["properties"]
    assert schema("VariantInput")["properties"]["initialQuantity"]["writeOnly"]
    assert "initialQuantity" not in schema("Variant")["properties"]
    body = operation("SellerService_UpdateSeller")["requestBody"]
    assert body["required"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/SellerPatch"}
    assert not operation("OrderService_CancelOrder")["requestBody"]["required"]


def test_the_request_id_of_a_call_may_be_what_the_server_takes() -> None:
    shape = DOCUMENT["components"]["parameters"]["RequestId"]["schema"]["pattern"]
    assert re.match(shape, "a:b/c=+-_." + "x" * 118)
    assert not re.match(shape, "x" * 129)
    assert not re.match(shape, "")


def test_rules_become_keywords() -> None:
    sent = schema("SellerInput")["properties"]
    assert (sent["handle"]["minLength"], sent["handle"]["maxLength"]) == (3, 60)
    assert sent["handle"]["pattern"] == "^[a-z0-9]+(-[a-z0-9]+)*$"
    assert schema("SellerPatch")["properties"]["handle"]["pattern"].startswith("^$|")
    assert sent["openingHours"]["maxItems"] == 50
    listed = parameters(operation("OrderService_ListOrders"), "query")
    assert listed["pageSize"]["schema"]["minimum"] == 0
    assert listed["createTimeFrom"]["schema"]["format"] == "date-time"
    states = listed["states"]["schema"]
    assert states["uniqueItems"]
    assert states["items"] == {"$ref": "#/components/schemas/OrderState", "not": {"enum": ["ORDER_STATE_UNSPECIFIED"]}}
    assert listed["buyerIds"]["schema"]["items"] == {"type": "string", "format": "uuid"}
    assert schema("Money")["properties"]["units"]["type"] == "string"
    login = schema("LoginRequest")
    assert login["not"] == {"required": ["totpCode", "recoveryCode"]}
    assert login["properties"]["password"]["minLength"] == 1
    refund = schema("RefundPaymentRequest")
    assert refund["oneOf"] == [{"required": ["order"]}, {"required": ["wholeGroup"]}]
    assert parameters(operation("OrderService_GetOrder"), "path")["orderId"]["schema"]["format"] == "uuid"


def test_a_rule_that_nobody_can_tell_stops_the_making() -> None:
    with pytest.raises(RuleUntold, match="ipv4"):
        told(validate_pb2.FieldRules(string=validate_pb2.StringRules(ipv4=True)))
    with pytest.raises(RuleUntold, match="any"):
        told(validate_pb2.FieldRules(any=validate_pb2.AnyRules()))


def test_every_reason_is_in_the_one_shape_of_refusals() -> None:
    assert set(schema("Reason")["enum"]) == set(reason_comments())
    [detail] = [schema("Error")["properties"]["details"]]
    assert detail["contains"]["properties"]["reason"] == {"$ref": "#/components/schemas/Reason"}
    for found in OPERATIONS.values():
        for status in found["responses"]:
            if status not in ("200", "304"):
                content = response(int(status), found)["content"]
                assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}


def test_the_command_prints_and_writes_it(tmp_path: Path) -> None:
    printed = CliRunner().invoke(application(["openapi"]), ["openapi"])
    assert (printed.exit_code, json.loads(printed.stdout)) == (0, DOCUMENT)
    file = tmp_path / "openapi.json"
    done = CliRunner().invoke(application(["openapi"]), ["openapi", "-o", str(file)])
    assert (done.exit_code, json.loads(file.read_text())) == (0, DOCUMENT)
    failed = CliRunner().invoke(application(["openapi"]), ["openapi", "-o", str(tmp_path / "missing" / "file")])
    assert failed.exit_code == 2
