"""What the contract asks of the catalog's and inventory's requests before any use case sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from marketd.app import SERVICES
from marketd.kernel.call.refusals import ValidationFailed
from marketd.transport.access import AccessTable
from marketd.transport.validation import Parse, Validation
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import category_pb2, import_pb2, product_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.type.v1 import image_pb2

ID = "01890000-0000-7000-8000-000000000001"
Problems = Callable[[Message], dict[str, str]]


@pytest.fixture(scope="module")
def problems() -> Problems:
    """What is wrong with a request, by path."""
    validation, parsers = Validation(), dict[str, Parse]()
    rules = {rule.request: rule for rule in AccessTable.from_names(SERVICES)}

    def found(request: Message) -> dict[str, str]:
        kind = type(request)
        parse = parsers.setdefault(kind.__name__, validation.parser(rules[kind]))
        try:
            parse(request.SerializeToString())
        except ValidationFailed as refused:
            return {violation.field: violation.description for violation in refused.fields}
        return {}

    return found


def product(**fields: Any) -> pb.CreateProductRequest:
    """A request that is good but for the fields."""
    given: dict[str, Any] = {"title": "Cup", "variants": [variant()], **fields}
    return pb.CreateProductRequest(product=product_pb2.Product(**given), request_id=ID)


def variant(**fields: Any) -> product_pb2.Variant:
    """A variant that is good but for the fields."""
    given: dict[str, Any] = {"price": Money(currency_code="EUR", units=4), **fields}
    return product_pb2.Variant(**given)


def test_a_product_needs_a_title_and_begins_without_variants_and_prices(problems: Problems) -> None:
    assert problems(product()) == {}
    found = problems(pb.CreateProductRequest())
    assert set(found) == {"product", "request_id"}
    assert "header idempotency-key" in found["request_id"]
    assert problems(product(title="", variants=[])) == {"product.title": "must be given"}
    assert problems(product(variants=[variant(), product_pb2.Variant()])) == {}


@pytest.mark.parametrize("url", ["http://x.y/1.jpg", "https:///x", "https://x y", "ftp://x", f"https://x/{'x' * 2048}"])
def test_a_picture_is_named_by_an_https_address(problems: Problems, url: str) -> None:
    def pictured(url: str) -> pb.CreateProductRequest:
        return product(images=[product_pb2.ProductImage(image=image_pb2.Image(url=url))])

    assert set(problems(pictured(url))) == {"product.images[0].image"}
    # Shopify's files have such addresses, and what was read must be good enough to be given back.
    for good in ("https://x.y/1.jpg", "HTTPS://x.y/ü?a=1|2"):
        assert problems(pictured(good)) == {}
    assert set(problems(pictured(""))) == {"product.images[0].image"}


def test_what_the_server_owns_may_stand_in_a_resource_with_any_value(problems: Problems) -> None:
    given = product(product_id="x", etag="v1", rating={"average": -1}, price=Money(currency_code="EUR"))
    given.product.variants[0].MergeFrom(product_pb2.Variant(variant_id="x", position=-3))
    assert problems(given) == {}


@pytest.mark.parametrize(("parent", "is_good"), [("", True), (ID, True), (ID.upper(), True), ("x", False)])
def test_a_reference_is_empty_or_an_id(problems: Problems, parent: str, is_good: bool) -> None:
    category = category_pb2.Category(category_id=ID, parent_category_id=parent)
    found = problems(pb.UpdateCategoryRequest(category=category))
    assert found == ({} if is_good else {"category.parent_category_id": "must be a valid UUID"})


def test_a_count_of_nothing_is_a_count_and_no_count_is_none(problems: Problems) -> None:
    request = inventory_service_pb2.SetStockRequest(variant_id=ID, request_id=ID)
    assert problems(request) == {"quantity": "must be given"}
    request.quantity = 0
    assert problems(request) == {}


def test_filters_that_contradict_or_do_not_exist_are_refused(problems: Problems) -> None:
    both = pb.ListCategoriesRequest(top_level=True, parent_category_ids=[ID])
    assert list(problems(both).values()) == ["top_level and parent_category_ids exclude each other"]
    states = problems(pb.ListProductsRequest(states=[product_pb2.PRODUCT_STATE_UNSPECIFIED]))
    assert states["states[0]"].startswith("must be one of PRODUCT_STATE_DRAFT")
    assert set(problems(pb.ListProductsRequest(brand_ids=["x"]))) == {"brand_ids[0]"}


def test_a_streamed_import_states_size_and_hash_and_a_small_one_need_not(problems: Problems) -> None:
    hashed = import_pb2.ImportOptions(sha256="0" * 64)
    assert set(problems(pb.ImportProductsRequest(options=hashed))) == {"options"}
    hashed.size = 0
    assert problems(pb.ImportProductsRequest(options=hashed)) == {}
    assert problems(pb.ImportProductsInlineRequest(csv=b"x")) == {}
    assert problems(pb.ImportProductsInlineRequest()) == {"csv": "must be given"}
