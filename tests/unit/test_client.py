"""The typed client against a small scripted server on a real socket: retries, tokens, refusals, pages, watches."""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from grpc_status import rpc_status
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc, token_pb2
from marketplace.catalog.v1 import brand_pb2, catalog_service_pb2, product_pb2
from marketplace.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer, add_CatalogServiceServicer_to_server
from marketplace.order.v1 import order_service_pb2
from marketplace.order.v1.order_service_pb2_grpc import OrderServiceServicer, add_OrderServiceServicer_to_server
from marketplace_client import MarketplaceClient, MarketplaceError, UnconditionalUpdate, watch_order
from marketplace_client.watch import resuming

Context = Any


def packed(*messages: Any) -> list[any_pb2.Any]:
    """Messages as details of a status."""
    details = []
    for message in messages:
        detail = any_pb2.Any()
        detail.Pack(message)
        details.append(detail)
    return details


async def refuse(context: Context, code: grpc.StatusCode, reason: str, *more: Any, message: str = "no") -> None:
    """End the call as the server's error funnel does."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="marketplace.dev", metadata={"current": "PAID"})
    status = status_pb2.Status(code=code.value[0], message=message, details=packed(info, *more))
    await context.abort_with_status(rpc_status.to_status(status))


def jwt(lifetime_seconds: float, serial: int) -> str:
    """Something with the shape of an access token."""
    claims = json.dumps({"iat": 1000, "exp": 1000 + lifetime_seconds, "jti": serial}).encode()
    return f"h.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.s"


class Script(OrderServiceServicer, CatalogServiceServicer, auth_service_pb2_grpc.AuthServiceServicer):
    """A server whose answers each test writes."""

    def __init__(self) -> None:
        self.place: Callable[[order_service_pb2.PlaceOrderRequest, Context], Awaitable[None]] | None = None
        self.issue_reason = ""
        self.request_ids: list[str] = []
        self.issues = 0
        self.tokens_seen: list[str] = []
        self.correlation_ids: list[str] = []
        self.factors: list[str | None] = []
        self.refreshes = 0
        self.lifetime = 900.0
        self.expired: set[str] = set()
        self.tokens: list[str] = []
        self.busy = 0
        self.drops = 0
        self.left = asyncio.Event()

    def _note(self, context: Context) -> str:
        metadata: dict[str, str] = dict(context.invocation_metadata())
        self.correlation_ids.append(metadata.get("x-request-id", ""))
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        self.tokens_seen.append(token)
        return token

    async def PlaceOrder(self, request: Any, context: Context) -> Any:  # noqa: N802 - the rpc's name
        self._note(context)
        self.request_ids.append(request.request_id)
        if self.place is not None:
            await self.place(request, context)
        return order_service_pb2.PlaceOrderResponse()

    async def IssueServiceToken(self, request: Any, context: Context) -> Any:  # noqa: N802 - the rpc's name
        self.issues += 1
        if self.issues == 1:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, self.issue_reason)
        return auth_service_pb2.IssueServiceTokenResponse()

    async def GetOrder(self, request: Any, context: Context) -> Any:  # noqa: N802 - the rpc's name
        token = self._note(context)
        if self.drops:
            self.drops -= 1
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        if token in self.expired:
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
        return order_service_pb2.GetOrderResponse()

    async def Login(self, request: Any, context: Context) -> Any:  # noqa: N802 - the rpc's name
        self._note(context)
        self.factors.append(request.WhichOneof("second_factor"))
        return auth_service_pb2.LoginResponse(tokens=self._tokens())

    async def RefreshTokens(self, request: Any, context: Context) -> Any:  # noqa: N802 - the rpc's name
        self.refreshes += 1
        await asyncio.sleep(0)
        return auth_service_pb2.RefreshTokensResponse(tokens=self._tokens())

    def _tokens(self) -> token_pb2.Tokens:
        return token_pb2.Tokens(access_token=jwt(self.lifetime, self.refreshes), refresh_token=f"r{self.refreshes}")

    async def ListProducts(self, request: Any, context: Context) -> Any:  # noqa: N802 - the rpc's name
        page = int(request.page_token or 0)
        return catalog_service_pb2.ListProductsResponse(
            products=[product_pb2.Product(title=f"{request.seller_ids[0]}{page}")],
            next_page_token="" if page == 2 else str(page + 1),
        )

    async def WatchOrder(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802 - the rpc's name
        self.tokens.append(request.resume_token)
        if self.busy:
            self.busy -= 1
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        if request.order_id == "stay":
            try:
                yield order_service_pb2.WatchOrderResponse(resume_token="1")
                await asyncio.Event().wait()
            finally:
                self.left.set()
        first = int(request.resume_token or 0)
        for number in range(first + 1, 6):
            yield order_service_pb2.WatchOrderResponse(resume_token=str(number))
            if number in (2, 4) and first < number - 1:
                await refuse(context, grpc.StatusCode.UNAVAILABLE, "DRAINING")


def new_script() -> Script:
    """A script; rpcs it does not write answer UNIMPLEMENTED."""
    return Script()  # type: ignore[abstract]  # only the type stubs call the others abstract


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """The scripted server on a free port."""
    server = grpc.aio.server()
    add_OrderServiceServicer_to_server(script, server)
    add_CatalogServiceServicer_to_server(script, server)
    auth_service_pb2_grpc.add_AuthServiceServicer_to_server(script, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_a_keyed_call_is_repeated_with_one_request_id_until_it_is_answered() -> None:
    script = new_script()

    async def place(request: Any, context: Context) -> None:
        if len(script.request_ids) == 1:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        if len(script.request_ids) == 2:
            retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=50_000_000))
            await refuse(context, grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS", retry)

    script.place = place
    async with serving(script) as target, MarketplaceClient(target) as client:
        request = order_service_pb2.PlaceOrderRequest(quote_token="q")
        await client.order.PlaceOrder(request)
    assert len(script.request_ids) == 3
    assert len(set(script.request_ids)) == 1
    assert script.request_ids[0]
    assert request.request_id == ""
    assert all(script.correlation_ids)


async def test_what_a_leaving_server_drops_is_repeated_where_that_is_safe_and_what_the_caller_cancels_is_not() -> None:
    script = new_script()
    began = asyncio.Event()

    async def place(request: Any, context: Context) -> None:
        if len(script.request_ids) == 1:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        if len(script.request_ids) == 3:
            began.set()
            await asyncio.Event().wait()

    script.place = place
    script.drops = 1
    async with serving(script) as target, MarketplaceClient(target) as client:
        await client.order.PlaceOrder(order_service_pb2.PlaceOrderRequest(quote_token="q"))
        assert len(script.request_ids) == 2
        assert len(set(script.request_ids)) == 1
        await client.order.GetOrder(order_service_pb2.GetOrderRequest())
        assert script.drops == 0

        call = asyncio.ensure_future(client.order.PlaceOrder(order_service_pb2.PlaceOrderRequest(quote_token="r")))
        await asyncio.wait_for(began.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.order.GetOrder(order_service_pb2.GetOrderRequest())
    assert len(script.request_ids) == 3


async def test_a_request_id_of_the_caller_is_kept() -> None:
    script = new_script()
    async with serving(script) as target, MarketplaceClient(target) as client:
        await client.order.PlaceOrder(order_service_pb2.PlaceOrderRequest(request_id="mine"))
    assert script.request_ids == ["mine"]


@pytest.mark.parametrize(("reason", "calls"), [("DATABASE_UNAVAILABLE", 1), ("OVERLOADED", 2), ("DRAINING", 2)])
async def test_an_unsafe_call_is_repeated_only_when_the_server_says_that_it_did_not_begin(
    reason: str, calls: int
) -> None:
    script = new_script()
    script.issue_reason = reason
    async with serving(script) as target, MarketplaceClient(target) as client:
        if calls == 1:
            with pytest.raises(MarketplaceError) as caught:
                await client.auth.IssueServiceToken(auth_service_pb2.IssueServiceTokenRequest())
            assert caught.value.reason == reason
        else:
            await client.auth.IssueServiceToken(auth_service_pb2.IssueServiceTokenRequest())
    assert script.issues == calls


async def test_a_refusal_carries_everything_that_the_details_say() -> None:
    script = new_script()

    async def place(request: Any, context: Context) -> None:
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field="items[2].quantity", description="must be above 0")
        failure = error_details_pb2.PreconditionFailure()
        failure.violations.add(type="STOCK", subject="v1", description="2 left")
        retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3))
        await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_STOCK", bad, failure, retry)

    script.place = place
    async with serving(script) as target, MarketplaceClient(target) as client:
        with pytest.raises(MarketplaceError) as caught:
            await client.order.PlaceOrder(order_service_pb2.PlaceOrderRequest())
    error = caught.value
    assert (error.code, error.reason, error.message) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "INSUFFICIENT_STOCK",
        "no",
    )
    assert error.metadata == {"current": "PAID"}
    assert [violation.field for violation in error.field_violations] == ["items[2].quantity"]
    assert [violation.subject for violation in error.precondition_violations] == ["v1"]
    assert error.retry_after == 3.0
    assert "items[2].quantity" in str(error)


async def test_nobody_listening_is_an_error_without_a_reason() -> None:
    async with MarketplaceClient("127.0.0.1:1") as client:
        with pytest.raises(MarketplaceError) as caught:
            await client.auth.IssueServiceToken(auth_service_pb2.IssueServiceTokenRequest())
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert not caught.value.from_server


async def test_many_calls_with_an_ending_token_refresh_it_once_and_all_send_the_new_one() -> None:
    script = new_script()
    script.lifetime = 0.0
    async with serving(script) as target, MarketplaceClient(target) as client:
        await client.login("a", "b")
        script.lifetime = 900.0
        await asyncio.gather(*(client.order.GetOrder(order_service_pb2.GetOrderRequest()) for _ in range(20)))
        tokens = client.tokens
    assert script.refreshes == 1
    assert tokens is not None
    assert set(script.tokens_seen[1:]) == {tokens.access_token}


async def test_a_token_that_the_server_calls_expired_is_refreshed_and_the_call_sent_again() -> None:
    script = new_script()
    async with serving(script) as target, MarketplaceClient(target) as client:
        await client.login("a", "b")
        assert client.tokens is not None
        script.expired.add(client.tokens.access_token)
        await client.order.GetOrder(order_service_pb2.GetOrderRequest())
    assert script.refreshes == 1


async def test_signing_in_again_does_not_send_the_old_token() -> None:
    script = new_script()
    async with serving(script) as target, MarketplaceClient(target, access_token="old") as client:
        await client.login("a", "b")
    assert script.tokens_seen == [""]


async def test_a_second_factor_is_sent_when_there_is_one() -> None:
    script = new_script()
    async with serving(script) as target, MarketplaceClient(target) as client:
        await client.login("a", "b")
        await client.login("a", "b", totp_code="123456")
        await client.login("a", "b", recovery_code="7QW2M-9TXKD")
        with pytest.raises(ValueError, match="not both"):
            await client.login("a", "b", totp_code="123456", recovery_code="7QW2M-9TXKD")
    assert script.factors == [None, "totp_code", "recovery_code"]


async def test_a_list_is_walked_to_its_end_without_changing_the_request() -> None:
    request = catalog_service_pb2.ListProductsRequest(seller_ids=["s"])
    async with serving(new_script()) as target, MarketplaceClient(target) as client:
        titles = [product.title async for product in client.products(request)]
    assert titles == ["s0", "s1", "s2"]
    assert request.page_token == ""


async def test_a_watch_that_breaks_goes_on_after_the_last_message() -> None:
    script = new_script()
    async with serving(script) as target, MarketplaceClient(target) as client:
        seen = [message.resume_token async for message in watch_order(client, "o")]
    assert seen == ["1", "2", "3", "4", "5"]
    assert script.tokens == ["", "2", "4"]


async def test_a_watch_that_is_refused_for_a_while_goes_on_afterwards() -> None:
    script = new_script()
    script.busy = 1
    async with serving(script) as target, MarketplaceClient(target) as client:
        seen = [message.resume_token async for message in watch_order(client, "o")]
    assert seen == ["1", "2", "3", "4", "5"]


async def test_a_reader_that_leaves_a_watch_ends_its_stream_at_the_server() -> None:
    script = new_script()
    async with serving(script) as target, MarketplaceClient(target) as client:
        async with aclosing(watch_order(client, "stay")) as watch:  # type: ignore[type-var]  # it is a generator
            assert (await anext(watch)).resume_token == "1"
        await asyncio.wait_for(script.left.wait(), 5)


async def test_a_watch_ends_when_its_reader_is_cancelled_in_the_moment_in_which_a_message_comes() -> None:
    """Python 3.11's wait_for gives the message then, and forgets the cancel; the reader would go on for ever."""
    source: asyncio.Queue[order_service_pb2.WatchOrderResponse] = asyncio.Queue()

    class Call:
        async def __aiter__(self) -> AsyncIterator[order_service_pb2.WatchOrderResponse]:
            while True:
                yield await source.get()

        def cancel(self) -> bool:
            return True

    async def read(seen: list[str]) -> None:
        messages = resuming(
            MarketplaceClient("127.0.0.1:1"),
            lambda _: cast(Any, Call()),
            resume_token="",
            ends=True,
            give_up_after=None,
        )
        async for message in messages:
            seen.append(message.resume_token)

    # How many turns of the loop lie between the message's arrival and its reader is the loop's business: all are tried.
    for turns in range(8):
        seen: list[str] = []
        reader = asyncio.create_task(read(seen))
        for _ in range(5):
            await asyncio.sleep(0)
        source.put_nowait(order_service_pb2.WatchOrderResponse(resume_token="1"))
        for _ in range(turns):
            await asyncio.sleep(0)
        reader.cancel()
        assert await asyncio.wait((reader,), timeout=5) == ({reader}, set()), turns
        assert reader.cancelled()


async def test_an_update_that_does_not_say_what_it_was_made_for_is_warned_of() -> None:
    async with serving(new_script()) as target, MarketplaceClient(target) as client:
        brand = brand_pb2.Brand(brand_id="b", etag="v1")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(MarketplaceError):  # nobody serves it; that it was sent is enough
                await client.catalog.UpdateBrand(catalog_service_pb2.UpdateBrandRequest(brand=brand))
        brand.etag = ""
        with (
            pytest.warns(UnconditionalUpdate, match=r"UpdateBrand without brand\.etag"),
            pytest.raises(MarketplaceError),
        ):
            await client.catalog.UpdateBrand(catalog_service_pb2.UpdateBrandRequest(brand=brand))
