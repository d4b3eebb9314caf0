"""Each rpc and each field is as it was agreed: policy.txt and fields.txt against the protos and against the server.

A failure prints the lines of both: `-` is what was agreed, `+` what is. Whoever means the change writes it there too.
"""

from __future__ import annotations

from marketd.transport.deadlines import limit_seconds
from marketd.transport.rules import Rule
from marketd.transport.validation import request_limit
from marketplace.auth.v1.address_pb2 import SavedAddress
from marketplace.auth.v1.user_service_pb2 import CreateAddressRequest, ListAddressesRequest
from marketplace.type.v1.address_pb2 import Address

from tests.worlds.agreed import (
    FIELDS,
    NOTHING,
    OURS,
    POLICY,
    agreed,
    agreed_fields,
    beyond,
    declared,
    declared_fields,
    differences,
)
from tests.worlds.observed import RULES


def test_each_rpc_is_declared_as_agreed() -> None:
    written = {path: line.declared for path, line in agreed().items() if path.startswith(f"/{OURS}")}
    assert differences(written, declared()) == [], f"{POLICY} says otherwise"


def test_each_field_is_declared_as_agreed() -> None:
    assert differences(agreed_fields(), declared_fields()) == [], f"{FIELDS} says otherwise"


def _worked_by(rule: Rule) -> tuple[str, ...]:
    seconds = limit_seconds(rule)
    return (
        str(rule.kind),
        ",".join(rule.access_names),
        str(rule.idempotency),
        "audit" if rule.audit else NOTHING,
        str(rule.rate_class),
        str(rule.stability),
        NOTHING if seconds is None else f"{seconds:g}s",
        f"{request_limit(rule) / 1024 / 1024:g}MiB",
    )


def test_the_server_works_by_what_was_agreed() -> None:
    """Also for what it serves without a proto of ours: health, reflection and channelz."""
    written = {
        path: (
            line.kind,
            line.who,
            line.idempotency,
            line.audit,
            line.rate_class,
            line.stability,
            line.seconds,
            line.bytes,
        )
        for path, line in agreed().items()
    }
    assert differences(written, {path: _worked_by(rule) for path, rule in RULES.items()}) == [], f"not as in {POLICY}"
    assert {path for path, rule in RULES.items() if rule.vital} == {
        f"/grpc.health.v1.Health/{name}" for name in ("Check", "List", "Watch")
    }


def test_what_is_beyond_a_bound_is_found_wherever_it_stands() -> None:
    address = Address(lines=["x"] * 6, city="x" * 121)
    assert beyond(CreateAddressRequest(address=SavedAddress(postal_address=address))) == [
        "marketplace.type.v1.Address.lines",
        "marketplace.type.v1.Address.city",
    ]
    assert beyond(ListAddressesRequest(page_size=-1)) == ["marketplace.auth.v1.ListAddressesRequest.page_size"]
    assert beyond(ListAddressesRequest(page_size=1)) == []


def test_a_difference_is_told_as_the_lines_of_both() -> None:
    assert differences({"a": ("x", "-"), "b": "#1 string", "c": "#2"}, {"a": ("x", "audit"), "c": "#2", "d": "#3"}) == [
        "- a  x  -",
        "+ a  x  audit",
        "- b  #1 string",
        "+ d  #3",
    ]
    assert len(agreed()) > 150
    assert len(agreed_fields()) > 1_500
