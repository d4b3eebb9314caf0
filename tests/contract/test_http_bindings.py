"""Every unary and server-streaming rpc has its way by HTTP, and no two have the same one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marketd.app import SERVICES
from marketd.transport.access import AccessTable
from marketd.transport.last_words import ERROR_FIELD, ERROR_NUMBER
from marketd.transport.rules import Kind

from tests.worlds.bindings import Binding, bindings, collisions

RULES = [rule for rule in AccessTable.from_names(SERVICES) if rule.method.startswith("/marketplace.")]
REACHED = [rule for rule in RULES if rule.kind in (Kind.UNARY, Kind.SERVER_STREAM)]
KNOWN = [binding for rule in REACHED for binding in bindings(rule)]


def _leads_to_a_text(binding: Binding, path: str) -> bool:
    message: Any = binding.rule.request.DESCRIPTOR
    *outer, last = path.split(".")
    for step in outer:
        message = message.fields_by_name[step].message_type
    field = message.fields_by_name[last]
    return bool(field.type == field.TYPE_STRING and not field.is_repeated)


def test_what_http_can_carry_has_a_binding() -> None:
    assert [rule.method for rule in REACHED if not list(bindings(rule))] == []
    assert len(KNOWN) >= len(REACHED) > 100


def test_no_request_could_mean_two_rpcs() -> None:
    assert collisions(KNOWN) == []


def test_the_comparison_finds_what_collides() -> None:
    one = next(binding for binding in KNOWN if binding.path == "/v1/orders/{order_id}")
    for path in ("/v1/orders/mine", "/v1/orders/{order_number}"):
        assert collisions([one, replace(one, path=path)])
    for path in ("/v1/orders/{order_id}:watch", "/v1/orders", "/v1/orders/{order_id}/lines"):
        assert not collisions([one, replace(one, path=path)])
    assert not collisions([one, replace(one, verb="DELETE")])


def test_paths_and_bodies_name_fields_of_the_request_and_each_field_has_one_place() -> None:
    for binding in KNOWN:
        fields = binding.rule.request.DESCRIPTOR.fields_by_name
        assert all(_leads_to_a_text(binding, path) for path in binding.variables), binding
        assert binding.body in ("", "*") or binding.body in fields, binding
        # What is repeated and no single value has no form in a query.
        if binding.body != "*":
            queried = set(fields) - {binding.body}
            odd = {name for name in queried if fields[name].is_repeated and fields[name].message_type is not None}
            assert not odd, binding


def test_reads_have_no_body_and_changes_say_how() -> None:
    for binding in KNOWN:
        assert (binding.verb in ("GET", "DELETE")) == (not binding.body), binding
        assert binding.verb in ("GET", "POST", "PUT", "PATCH", "DELETE"), binding


def test_the_gateways_own_field_of_streams_is_free_in_all_of_them() -> None:
    for rule in RULES:
        if rule.kind is Kind.SERVER_STREAM:
            answer = rule.response.DESCRIPTOR
            assert ERROR_FIELD not in answer.fields_by_name, rule.method
            assert ERROR_NUMBER not in answer.fields_by_number, rule.method
