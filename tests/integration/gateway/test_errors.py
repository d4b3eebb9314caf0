"""Errors by REST: reason and field paths in JSON, whoever wrote them, and never one without a reason."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived
from marketplace.errors.v1 import error_reason_pb2

from tests.worlds.echo import fail, rich

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_ORDER = "/marketplace.order.v1.OrderService/GetOrder"
REASONS = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name}
STATUSES = {
    1: 499, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 12: 501, 13: 500, 14: 503, 16: 401,
}  # fmt: skip
OF_ORDERS = "a value of marketplace.order.v1.OrderState, as /openapi.json lists them"
JSON = {"content-type": "application/json"}


def told(body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The error and its details by their short names; every error has exactly one reason, which the contract knows."""
    assert headers["content-type"] == "application/json", body
    error = json.loads(body)
    details = {one["@type"].rpartition(".")[2]: one for one in error["details"]}
    assert details["ErrorInfo"]["domain"] == "marketplace.dev"
    assert details["ErrorInfo"]["reason"] in REASONS
    assert error["message"]
    return error, details


async def refused(rest: Rest, path: str, body: Any = None, **more: Any) -> tuple[int, int, str, dict[str, str]]:
    """HTTP status, code, reason and the fields with what is wrong of each."""
    status, headers, raw = await rest.gateway.fetch(path, body, **more)
    error, details = told(raw, headers)
    fields = details.get("BadRequest", {}).get("fieldViolations", [])
    return status, error["code"], details["ErrorInfo"]["reason"], {one["field"]: one["description"] for one in fields}


async def test_what_the_server_says_arrives_whole(rest: Rest) -> None:
    info = error_details_pb2.ErrorInfo(reason="VALIDATION_FAILED", domain="marketplace.dev", metadata={"kind": "order"})
    field = error_details_pb2.BadRequest.FieldViolation(field="items[2].quantity", description="must be \N{EURO SIGN}")
    status = rich(
        3,
        'No "good" \N{EURO SIGN}',
        info,
        error_details_pb2.BadRequest(field_violations=[field]),
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2)),
        error_details_pb2.LocalizedMessage(locale="en", message="No."),
        error_details_pb2.PreconditionFailure(),
    )
    rest.echo.on[GET_ORDER] = lambda request, context: fail(
        context, status, ("x-request-id", "7"), ("retry-after", "2")
    )
    code, headers, body = await rest.gateway.fetch("/v1/orders/7")
    error, details = told(body, headers)
    assert (code, error["code"], error["message"]) == (400, 3, status.message)
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "items[2].quantity"
    assert details["ErrorInfo"]["metadata"] == {"kind": "order"}
    assert details["RetryInfo"]["retryDelay"] == "2s"
    assert (headers["x-request-id"], headers["retry-after"]) == ("7", "2")


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
async def test_each_code_has_its_status_and_none_is_without_a_reason(rest: Rest, code: int, status: int) -> None:
    async def bare(request: Any, context: Any) -> None:
        await context.abort(next(one for one in grpc.StatusCode if one.value[0] == code), "As the core says it.")

    rest.echo.on[GET_ORDER] = bare
    found = await refused(rest, "/v1/orders/7")
    assert found[:2] == (status, code)


async def test_what_an_answer_says_in_trailers_are_headers_and_what_grpc_alone_needs_is_not_there(rest: Rest) -> None:
    async def answer(request: Any, context: Any) -> Any:
        context.set_trailing_metadata((("x-request-id", "7"), ("replayed", "true"), ("deprecated", "x.Y/Z")))
        return b""

    rest.echo.on[GET_ORDER] = answer
    status, headers, _ = await rest.gateway.fetch("/v1/orders/7")
    assert status == 200
    assert [headers[name] for name in ("x-request-id", "replayed", "deprecated")] == ["7", "true", "x.Y/Z"]
    assert not [name for name in headers if name.startswith(("grpc-", "x-envoy", "x-stream", "x-gateway"))]


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/v1/orders?foo=1", None, {"foo": "is not known"}),
        ("/v1/orders?pageSize=many", None, {"page_size": "must be a whole number"}),
        ("/v1/orders?states=FOO", None, {"states": f"must be {OF_ORDERS}"}),
        ("/v1/orders?createTimeFrom=now", None, {"create_time_from": "must be a time such as 2026-01-02T03:04:05Z"}),
        ("/v1/orders?f%FFo=1", None, {"f%FFo": "is not known"}),
        ("/v1/orders?pageSize=%FF%00%22", None, {"page_size": "must be a whole number"}),
        ("/v1/cart/items", {"variantId": {"id": 1}}, {"variant_id": "must be one value, no object"}),
        ("/v1/cart/items", {"quantity": "a"}, {"quantity": "must be a whole number"}),
        ("/v1/cart/items", {"quantity": 2**40}, {"quantity": "must be a whole number"}),
    ],
)
async def test_what_the_transcoder_cannot_read_names_its_field(
    rest: Rest, path: str, body: Any, fields: dict[str, str]
) -> None:
    assert await refused(rest, path, body) == (400, 3, "VALIDATION_FAILED", fields)
    assert rest.echo.seen == []


@pytest.mark.parametrize(
    "body",
    [b'{"quantity": ', b"[]", b"1", b'"\xff"', b"{]", b'{"quantity": 1} x'],
)
async def test_a_body_that_is_no_json_is_refused(rest: Rest, body: bytes) -> None:
    assert (await refused(rest, "/v1/cart/items", body))[:3] == (400, 3, "MALFORMED_REQUEST")


@pytest.mark.parametrize(("method", "body", "says"), [
    ("DELETE", b"{}", "This method takes no body; what it is asked stands in the query."),
    ("POST", b"[]", "The request is no JSON as this method takes it: Root element must be a message."),
])  # fmt: skip
async def test_a_refused_body_is_told_in_one_plain_sentence(rest: Rest, method: str, body: bytes, says: str) -> None:
    path = "/v1/media/7" if method == "DELETE" else "/v1/cart/items"
    _, _, answer = await rest.gateway.fetch(path, body, method=method)
    assert json.loads(answer)["message"] == says


async def test_fields_of_a_body_that_nobody_knows_are_ignored(rest: Rest) -> None:
    status, _, _ = await rest.gateway.fetch("/v1/cart/items", {"quantity": 1, "color": {"a": [1]}})
    assert status == 200
    assert rest.echo.seen[0][1].quantity == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png"])
async def test_other_content_types_are_refused(rest: Rest, kind: str) -> None:
    found = await refused(rest, "/v1/cart/items", b'{"quantity":1}', headers={"content-type": kind})
    assert found[:3] == (415, 3, "MALFORMED_REQUEST")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_taken_however_it_is_written(rest: Rest, kind: str) -> None:
    status, _, _ = await rest.gateway.fetch("/v1/cart/items", b'{"quantity":1}', headers={"content-type": kind})
    assert status == 200


async def test_a_body_that_is_packed_or_too_large_or_not_wanted_is_refused(rest: Rest) -> None:
    packed = await refused(rest, "/v1/cart/items", b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert packed[:3] == (415, 3, "MALFORMED_REQUEST")
    large = await refused(rest, "/v1/cart/items", {"variantId": "x" * 2_000_000})
    assert large[:3] == (413, 3, "VALIDATION_FAILED")
    longer = await refused(rest, "/v1/media", {"image": "x" * 7_000_000})
    assert longer[:3] == (413, 3, "VALIDATION_FAILED")
    unwanted = await refused(rest, "/v1/media/7", {"etag": "x"}, method="DELETE")
    assert unwanted[:3] == (400, 3, "MALFORMED_REQUEST")
    assert rest.echo.seen == []


async def test_a_picture_of_three_mebibytes_passes_in_json(rest: Rest) -> None:
    picture = bytes(range(256)) * 12 * 1024
    status, _, _ = await rest.gateway.fetch("/v1/media", {"image": base64.b64encode(picture).decode()})
    assert status == 200
    assert rest.echo.seen[0][1].image == picture  # type: ignore[attr-defined]


@pytest.mark.parametrize(("method", "path", "others"), [
    ("PUT", "/v1/orders", {"GET", "POST"}),
    ("DELETE", "/v1/orders/7", {"GET"}),
    ("POST", "/v1/orders/7:watch", {"GET"}),
    ("GET", "/v1/auth:login", {"POST"}),
    ("POST", "/.well-known/jwks.json", {"GET"}),
])  # fmt: skip
async def test_a_path_says_which_methods_it_takes(rest: Rest, method: str, path: str, others: set[str]) -> None:
    status, headers, body = await rest.gateway.fetch(path, b"" if method != "GET" else None, method=method)
    _, details = told(body, headers)
    assert (status, details["ErrorInfo"]["reason"]) == (405, "METHOD_UNKNOWN")
    assert set(headers["allow"].split(", ")) == others | {"OPTIONS"}
    status, headers, body = await rest.gateway.fetch(path, method="OPTIONS")
    assert (status, set(headers["allow"].split(", ")), body) == (204, others | {"OPTIONS"}, b"")


async def test_head_is_refused_without_a_body(rest: Rest) -> None:
    status, headers, body = await rest.gateway.fetch("/v1/orders", method="HEAD")
    assert (status, body) == (405, b"")
    assert "GET" in headers["allow"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v2/orders", "/", "/v1/orders/7/8/9"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_path_that_nobody_knows_is_not_found(rest: Rest, path: str, method: str) -> None:
    found = await refused(rest, path, {} if method == "POST" else None, method=method)
    assert found[:3] == (404, 5, "NOT_FOUND")


async def test_a_slash_that_is_escaped_is_refused(rest: Rest) -> None:
    assert (await refused(rest, "/v1/orders/7%2F8"))[:3] == (400, 3, "MALFORMED_REQUEST")


async def test_the_id_of_the_client_is_in_every_answer(rest: Rest) -> None:
    for path in ("/v1/nothing", "/v1/orders?foo=1"):
        _, headers, _ = await rest.gateway.fetch(path, headers={"x-request-id": "mine-7"})
        assert headers["x-request-id"] == "mine-7"
    for unfit in ("x" * 200, "two words"):
        _, headers, _ = await rest.gateway.fetch("/v1/nothing", headers={"x-request-id": unfit})
        assert "x-request-id" not in headers


async def test_a_parameter_without_a_value_is_refused(rest: Rest) -> None:
    """The transcoder would pass over it, and a slip in a filter would show everything."""
    for parameter in ("stats", "pageSize"):
        expected = 400, 3, "VALIDATION_FAILED", {parameter: "must have a value"}
        assert await refused(rest, f"/v1/orders?pageToken=a&{parameter}") == expected
    assert not rest.echo.seen
    assert (await rest.gateway.fetch("/v1/orders?&pageToken=&"))[0] == 200


async def test_nothing_on_the_way_keeps_an_answer_or_guesses_what_it_is(rest: Rest) -> None:
    for path in ("/v1/orders", "/v1/nowhere", "/v1/orders?stats"):
        _, headers, _ = await rest.gateway.fetch(path)
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff"), path


async def test_a_body_that_was_not_announced_is_seen(rest: Rest) -> None:
    """By HTTP/2 it needs no length, and an etag in it would not be read: the thing would be deleted whatever it is."""
    path = "/v1/addresses/0198f9ac-7c07-7e44-8f6b-6f2f0a4d7a11"
    assert await _delete(rest, path, b'{"etag": "v1"}') == b"400"
    assert not rest.echo.seen
    assert await _delete(rest, path, b"") == b"200"


async def _delete(rest: Rest, path: str, body: bytes) -> bytes:
    """The status of a DELETE by HTTP/2 whose body comes, empty or not, after its headers."""
    line = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    line.initiate_connection()
    line.send_headers(1, [(":method", "DELETE"), (":scheme", "http"), (":authority", "here"), (":path", path)])
    line.send_data(1, body, end_stream=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", rest.gateway.port)
    try:
        async with asyncio.timeout(10):
            while True:
                writer.write(line.data_to_send())
                for event in line.receive_data(await reader.read(65_536)):
                    if isinstance(event, ResponseReceived):
                        return bytes(dict(event.headers)[b":status"])
    finally:
        writer.close()
