"""The parsers of real requests: each bad message is refused with the paths of its bad fields."""

from __future__ import annotations

from typing import Any

import pytest
from marketd.kernel.call.refusals import Refusal, ValidationFailed
from marketd.transport.access import AccessTable
from marketd.transport.refusals import MalformedRequest, RequestTooLarge
from marketd.transport.validation import MAX_INLINE_BYTES, MAX_REQUEST_BYTES, Validation, request_limit
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

TABLE = AccessTable.from_names(
    service.full_name
    for module in (cart_service_pb2, catalog_service_pb2, order_service_pb2, tracking_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)
VALIDATION = Validation()
VARIANT = "0198c0de-0000-7000-8000-000000000001"


def parse(method: str, raw: bytes) -> Any:
    rule = next(rule for rule in TABLE if rule.method.endswith(f"/{method}"))
    return VALIDATION.parser(rule)(raw)


def paths(method: str, message: Any) -> set[str]:
    with pytest.raises(ValidationFailed) as caught:
        parse(method, message.SerializeToString())
    return {violation.field for violation in caught.value.fields}


def test_every_request_of_the_contract_has_a_parser_that_refuses_noise_in_words_of_ours() -> None:
    for rule in TABLE:
        read = VALIDATION.parser(rule)
        for raw in (b"\xff" * 7, b"\x00", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 4000):
            with pytest.raises(Refusal):
                read(raw)


def test_a_good_request_comes_out_as_its_message() -> None:
    request = cart_service_pb2.AddCartItemRequest(variant_id=VARIANT, quantity=2)
    assert parse("AddCartItem", request.SerializeToString()) == request


def test_paths_lead_into_nested_and_repeated_fields() -> None:
    request = cart_service_pb2.QuoteOrderRequest()
    request.address.lines.extend(["fine", "x" * 5000])
    assert "address.lines[1]" in paths("QuoteOrder", request)


def test_every_bad_field_is_found_however_many_there_are() -> None:
    request = order_service_pb2.CancelOrderRequest(request_id=VARIANT, order_id=VARIANT)
    request.lines.extend(order_service_pb2.CancelledLine(item_id=f"no id {number}") for number in range(30))
    assert {f"lines[{number}].item_id" for number in range(30)} <= paths("CancelOrder", request)


def test_bad_text_is_found_in_nested_repeated_and_mapped_fields() -> None:
    request = cart_service_pb2.QuoteOrderRequest()
    request.address.lines.extend(["fine", "a\0b"])
    request.address.city = "\0"
    assert paths("QuoteOrder", request) == {"address.lines[1]", "address.city"}
    product = catalog_service_pb2.CreateProductRequest()
    product.product.variants.add(sku="fine").options["size"] = "\0"
    product.product.variants.add(sku="fine").options["\0"] = "large"
    assert {"product.variants[0].options", "product.variants[1].options"} <= paths("CreateProduct", product)


def test_bytes_may_hold_zero_bytes() -> None:
    request = catalog_service_pb2.ImportProductsInlineRequest(csv=b"a\0b")
    request.options.seller_id = VARIANT
    assert parse("ImportProductsInline", request.SerializeToString()).csv == b"a\0b"


def test_an_unknown_enum_number_is_refused_wherever_it_stands() -> None:
    request = catalog_service_pb2.ListProductsRequest()
    field = next(field for field in request.DESCRIPTOR.fields if field.enum_type is not None)
    raw = bytes([field.number << 3, 99]) if not field.is_repeated else bytes([field.number << 3 | 2, 1, 99])
    with pytest.raises(ValidationFailed) as caught:
        parse("ListProducts", raw)
    assert {violation.field.partition("[")[0] for violation in caught.value.fields} == {field.name}


def test_only_inline_uploads_may_be_larger_than_a_megabyte() -> None:
    limits = {rule.method.rpartition("/")[2]: request_limit(rule) for rule in TABLE}
    assert limits.pop("ImportProductsInline") == MAX_INLINE_BYTES
    assert set(limits.values()) == {MAX_REQUEST_BYTES}
    with pytest.raises(RequestTooLarge):
        parse("AddCartItem", bytes(MAX_REQUEST_BYTES + 1))
    with pytest.raises(MalformedRequest):
        parse("ImportProductsInline", b"\x00" * (MAX_REQUEST_BYTES + 1))
