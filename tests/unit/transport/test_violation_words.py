"""Refused fields are explained to people, with what would be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from buf.validate import validate_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd import app as composition
from marketd.kernel.call.refusals import ValidationFailed
from marketd.transport.access import AccessTable
from marketd.transport.validation import Validation
from marketd.transport.violation_words import FORMS
from marketplace.admin.v1 import admin_service_pb2
from marketplace.auth.v1 import auth_service_pb2, user_service_pb2
from marketplace.catalog.v1 import brand_pb2, catalog_service_pb2
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.errors.v1 import error_reason_pb2
from marketplace.media.v1 import media_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.policy.v1 import policy_pb2

TABLE = {rule.request: rule for rule in AccessTable.from_names(composition.SERVICES)}
VALIDATION = Validation()


def said(request: Message) -> dict[str, str]:
    """What is said of each field."""
    with pytest.raises(ValidationFailed) as caught:
        VALIDATION.parser(TABLE[type(request)])(request.SerializeToString())
    return {violation.field: violation.description for violation in caught.value.fields}


def patterns(descriptor: Any, seen: set[str]) -> Iterator[str]:
    """The patterns of the message's fields and of all below."""
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        for text in (rules.string, rules.repeated.items.string, rules.map.keys.string, rules.map.values.string):
            if text.HasField("pattern"):
                yield text.pattern
        if field.message_type is not None:
            yield from patterns(field.message_type, seen)


def test_every_pattern_of_the_contract_is_put_in_words_and_no_other() -> None:
    seen: set[str] = set()
    found = {pattern for request in TABLE for pattern in patterns(request.DESCRIPTOR, seen)}
    assert found == set(FORMS)


def test_what_is_missing_malformed_or_doubled_is_said_in_words() -> None:
    roles = [policy_pb2.ROLE_BUYER, policy_pb2.ROLE_BUYER]
    of_roles = said(user_service_pb2.SetUserRolesRequest(roles=roles))
    assert of_roles["user_id"] == "must be given"
    assert of_roles["roles"] == "must not contain the same item twice"
    of_register = said(auth_service_pb2.RegisterRequest(email="x", username="Bad Name!", password="x"))
    assert of_register == {
        "email": "must be a valid email address",
        "username": "must be 3 to 64 letters, digits, dots, underscores and hyphens, a letter or digit first",
        "password": "must be at least 8 characters",
    }
    assert said(catalog_service_pb2.CreateBrandRequest(brand=brand_pb2.Brand(slug="Bad Slug"))) == {
        "brand.name": "must be given",
        "brand.slug": "must be lower-case letters and digits in words with single hyphens between them",
    }


def test_a_text_that_is_one_of_a_few_is_told_which() -> None:
    asked = media_service_pb2.DownloadMediaRequest(media_id=str(uuid4()), rendition="large")
    assert said(asked) == {"rendition": "must be one of thumb, card, full"}


def test_a_second_factor_is_one_of_two_codes() -> None:
    codes = said(auth_service_pb2.DisableTotpRequest()).values()
    assert list(codes) == ["one of totp_code, recovery_code must be given"]
    both = auth_service_pb2.DisableTotpRequest(totp_code="123456")
    both.recovery_code = "7QW2M-9TXKD"
    assert not both.HasField("totp_code")
    asked = auth_service_pb2.LoginRequest(login="jo", password="x", totp_code="12345")
    assert said(asked) == {"totp_code": "must be six digits"}


def test_filters_take_only_what_there_is() -> None:
    asked = admin_service_pb2.ListAuditEntriesRequest(
        codes=[code_pb2.OK], refusal_reasons=[error_reason_pb2.ERROR_REASON_UNSPECIFIED], actor_ids=["jo"]
    )
    assert set(said(asked)) == {"refusal_reasons[0]", "actor_ids[0]"}
    unknown = admin_service_pb2.ListAuditEntriesRequest(codes=[code_pb2.OK])
    unknown.codes.append(99)
    assert set(said(unknown)) == {"codes[1]"}


def test_enums_are_said_by_the_names_of_their_values() -> None:
    internal = user_service_pb2.SetUserRolesRequest(roles=[policy_pb2.ROLE_UNSPECIFIED])
    roles = "must be one of ROLE_BUYER, ROLE_SELLER, ROLE_COURIER, ROLE_ADMIN"
    assert said(internal)["roles[0]"] == roles
    states = said(delivery_service_pb2.ListDeliveriesRequest(states=[delivery_pb2.DELIVERY_STATE_UNSPECIFIED]))[
        "states[0]"
    ]
    assert states.startswith("must be one of DELIVERY_STATE_CREATED, ")
    assert "UNSPECIFIED" not in states


def test_of_a_required_choice_it_says_what_can_be_chosen() -> None:
    assert said(catalog_service_pb2.GetProductRequest()) == {"lookup": "one of product_id, slug must be given"}
    sandbox = payment_service_pb2.ConfirmPaymentRequest(payment_method=payment_pb2.PaymentMethod())
    assert said(sandbox)["payment_method.method"] == "sandbox must be given"


def test_of_a_rule_of_the_whole_message_no_field_is_said() -> None:
    asked = catalog_service_pb2.ListCategoriesRequest(top_level=True, parent_category_ids=[str(uuid4())])
    with pytest.raises(ValidationFailed) as caught:
        VALIDATION.parser(TABLE[type(asked)])(asked.SerializeToString())
    assert caught.value.message == "top_level and parent_category_ids exclude each other"


def test_a_number_that_no_enum_has_is_answered_with_what_there_is() -> None:
    raw = order_service_pb2.ListOrdersRequest.FromString(b"\x22\x01\x63")
    assert list(raw.states) == [99]
    assert said(raw)["states[0]"].startswith("must be one of ORDER_STATE_PENDING_PAYMENT, ORDER_STATE_PAID, ")
