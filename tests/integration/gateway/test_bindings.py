"""Every binding of the contract reaches the server with all of its request's fields, as curl would write them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import Parse
from marketd.app import SERVICES
from marketd.transport.access import AccessTable
from marketd.transport.rules import Kind

from tests.worlds.bindings import bindings
from tests.worlds.http_requests import http_request, variants

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="session")

KNOWN = [
    binding
    for rule in AccessTable.from_names(SERVICES)
    if rule.method.startswith("/marketplace.") and rule.kind in (Kind.UNARY, Kind.SERVER_STREAM)
    for binding in bindings(rule)
]
BY_SERVICE = sorted({binding.rule.method.rpartition("/")[0] for binding in KNOWN})
GET_PRODUCT = "/marketplace.catalog.v1.CatalogService/GetProduct"


@pytest.mark.parametrize("service", BY_SERVICE)
async def test_every_field_of_every_request_can_be_said(rest: Rest, service: str) -> None:
    wrong = []
    for binding in (one for one in KNOWN if one.rule.method.startswith(f"{service}/")):
        for message in variants(binding):
            sent = http_request(binding, message)
            rest.echo.seen.clear()
            status, headers, body = await rest.gateway.fetch(sent.path, sent.body, method=sent.verb)
            heard = [(method, request) for method, request, _ in rest.echo.seen]
            if status != 200 or heard != [(binding.rule.method, message)]:
                wrong.append((str(binding), status, body, heard))
            elif binding.rule.response is not HttpBody:  # whose type is what the answer says
                is_stream = binding.rule.kind is Kind.SERVER_STREAM
                assert headers["content-type"] == f"application/{'x-ndjson' if is_stream else 'json'}", binding
                Parse(body, binding.rule.response())
    assert wrong == []


async def test_a_mask_may_have_the_names_of_json_or_of_the_protos(rest: Rest) -> None:
    for mask in ("postalAddress.regionCode,label", "postal_address.region_code,label"):
        path = f"/v1/addresses/7?updateMask={mask}"
        assert (await rest.gateway.fetch(path, {"label": "Home"}, method="PATCH"))[0] == 200
    masks = [list(request.update_mask.paths) for _, request, _ in rest.echo.seen]  # type: ignore[attr-defined]
    assert masks == [["postal_address.region_code", "label"]] * 2


async def test_the_path_says_what_is_meant_whatever_the_body_says(rest: Rest) -> None:
    status, _, _ = await rest.gateway.fetch("/v1/addresses/7", {"addressId": "8", "label": "Home"}, method="PATCH")
    said = [request.address.address_id for _, request, _ in rest.echo.seen]  # type: ignore[attr-defined]
    assert (status, said) in ((200, ["7"]), (400, []))


@pytest.mark.parametrize("query", ["a+b", "a%20b"])
async def test_a_space_in_a_query_is_a_plus_or_escaped(rest: Rest, query: str) -> None:
    await rest.gateway.fetch(f"/v1/products:suggest?query={query}")
    assert rest.echo.seen[0][1].query == "a b"  # type: ignore[attr-defined]


async def test_names_of_fields_are_those_of_json_or_of_the_protos_and_enums_may_be_numbers(rest: Rest) -> None:
    for query in ("pageSize=3&states=PRODUCT_STATE_DRAFT", "page_size=3&states=1"):
        await rest.gateway.fetch(f"/v1/products?{query}")
    assert rest.echo.seen[0][1] == rest.echo.seen[1][1]


async def test_a_long_answer_arrives_whole(rest: Rest) -> None:
    rule = next(binding.rule for binding in KNOWN if binding.rule.method == GET_PRODUCT)

    async def long(request: object, context: object) -> object:
        return rule.response(product={"description": "x" * 3_000_000})

    rest.echo.on[GET_PRODUCT] = long
    status, _, body = await rest.gateway.fetch("/v1/products/7")
    assert (status, len(body) > 3_000_000) == (200, True)


async def test_many_at_once_each_get_their_own(rest: Rest) -> None:
    async def told(request: object, context: object) -> object:
        return rule.response(product={"title": request.product_id})  # type: ignore[attr-defined]

    rule = next(binding.rule for binding in KNOWN if binding.rule.method == GET_PRODUCT)
    rest.echo.on[GET_PRODUCT] = told
    answers = await asyncio.gather(*(rest.gateway.fetch(f"/v1/products/{number}") for number in range(32)))
    for number, (_, _, body) in enumerate(answers):
        assert f'"title":"{number}"' in body.decode()
