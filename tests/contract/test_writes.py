"""Every write can be repeated safely, or its rule says why not; what is deprecated names something that there is."""

from __future__ import annotations

import re

from google.protobuf import descriptor_pool
from marketd.app import SERVICES, access_table
from marketd.transport.access import AccessTable
from marketd.transport.rules import Idempotency

_READS = re.compile(r"(Get|BatchGet|List|Search|Suggest|Watch|Quote|Validate|Check|Export|Download)[A-Z]")


def test_every_write_takes_a_request_id_or_says_why_it_takes_none() -> None:
    silent = {
        rule.method.rpartition("/")[2]
        for rule in AccessTable.from_names(SERVICES)
        if rule.idempotency is Idempotency.NONE and not rule.unrepeatable and not _READS.match(_name(rule.method))
    }
    assert silent == set()


def test_a_read_is_no_write_that_needs_an_excuse() -> None:
    assert [rule.method for rule in access_table() if rule.unrepeatable and _READS.match(_name(rule.method))] == []


def test_a_request_has_a_request_id_exactly_where_its_rule_takes_one() -> None:
    wrong = [
        rule.method
        for rule in AccessTable.from_names(SERVICES)
        if ("request_id" in rule.request.DESCRIPTOR.fields_by_name) is (rule.idempotency is Idempotency.NONE)
    ]
    # Streams have it in what their first message carries.
    assert [method for method in wrong if not method.endswith(("/ImportProducts", "/UploadImage"))] == []


def test_what_to_call_instead_of_a_deprecated_method_exists_and_is_not_deprecated_itself() -> None:
    for rule in access_table():
        if rule.replacement:
            method = descriptor_pool.Default().FindMethodByName(rule.replacement.replace("/", "."))
            assert not method.GetOptions().deprecated, rule.method


def _name(method: str) -> str:
    return method.rpartition("/")[2]
