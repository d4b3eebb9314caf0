"""Tokens that are over, made up or tampered with: every kind of method refuses each, before it looks at the request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from marketd.kernel.call.caller import Role
from marketplace.auth.v1 import auth_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from tests.e2e.matrix.people import (
    ACCOUNT_BLOCKED,
    ROLE_REQUIRED,
    SESSION_REVOKED,
    TOKEN_EXPIRED,
    TOKEN_INVALID,
    People,
)
from tests.worlds.matrix import Market
from tests.worlds.things import new_key
from tests.worlds.wire import Outcome, check_refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUBLIC = "/marketplace.catalog.v1.CatalogService/GetProduct"
UNARY = "/marketplace.order.v1.OrderService/GetOrder"
STREAM = "/marketplace.delivery.v1.DeliveryService/WatchDeliveries"
WATCH = "/marketplace.order.v1.OrderService/WatchOrder"
BOTH_WAYS = "/marketplace.tracking.v1.TrackingService/StreamLocations"
STREAM_SECONDS = 2.5
"""Two, and a little for the machine."""


async def _everywhere(market: Market, token: str) -> list[Outcome]:
    """A method of each kind with a good request, and one with bytes that are no message."""
    hello = tracking_service_pb2.Hello(uplink_id=new_key())
    return [
        await market.send_as(token, PUBLIC, catalog_service_pb2.GetProductRequest(product_id=market.goods.product_id)),
        await market.send_as(token, UNARY, order_service_pb2.GetOrderRequest(order_id=market.trip.order_id)),
        await market.send_as(token, UNARY, b"\xff\xff\xff"),
        await market.send_as(token, STREAM, delivery_service_pb2.WatchDeliveriesRequest(), take=1),
        await market.send_as(token, BOTH_WAYS, tracking_service_pb2.StreamLocationsRequest(hello=hello)),
        await market.send_as(token, BOTH_WAYS, b"\xff\xff\xff"),
    ]


async def test_counterfeits_are_refused_alike_wherever_they_are_shown(market: Market, people: People) -> None:
    counterfeits = people.mint.counterfeits(market.rider.person)
    assert len(counterfeits) >= 12
    seen = set()
    for name, token in counterfeits.items():
        for outcome in await _everywhere(market, token):
            assert (outcome.code, outcome.reason) == TOKEN_INVALID, f"{name}: {outcome}"
            check_refusal(outcome, name)
            seen.add(outcome.details)
    # What is wrong with a token is not told, neither by words nor by their number.
    assert len(seen) == 1


async def test_the_same_mints_genuine_tokens_are_taken(market: Market, people: People) -> None:
    """Else the test above would show nothing."""
    good = await _everywhere(market, people.mint.token(market.rider.person))
    assert [one.code for one in good] == [
        grpc.StatusCode.OK,
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OK,
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
    ]


async def test_a_token_is_over_thirty_seconds_after_its_end_and_not_before(market: Market, people: People) -> None:
    now = int(time.time())
    for outcome in await _everywhere(market, people.mint.expired(market.rider.person)):
        assert (outcome.code, outcome.reason) == TOKEN_EXPIRED, outcome
        check_refusal(outcome)
    request = order_service_pb2.GetOrderRequest(order_id=market.trip.order_id)
    late = people.mint.token(market.rider.person, iat=now - 300, exp=now - 10)
    assert (await market.send_as(late, UNARY, request)).code is grpc.StatusCode.OK
    # A stream ends with its token, so one that is over begins none.
    ended = await market.send_as(late, STREAM, delivery_service_pb2.WatchDeliveriesRequest())
    assert (ended.code, ended.reason) == TOKEN_EXPIRED


async def _ends(market: Market, token: str, end: Callable[[], Awaitable[object]] | None) -> Outcome:
    """Watch an order until its first answer, let something happen, and read on to the end of the stream."""
    ask: Any = market.wire.channel.unary_stream(WATCH)
    raw = order_service_pb2.WatchOrderRequest(order_id=market.trip.order_id).SerializeToString()
    call = ask(raw, metadata=[("authorization", f"Bearer {token}")], timeout=10)
    await call.read()
    if end is not None:
        await end()
    async with asyncio.timeout(STREAM_SECONDS):
        # The status comes when the stream has ended, whatever was told before.
        code = await call.code()
    pairs = tuple((str(key), value) for key, value in await call.trailing_metadata() or ())
    return Outcome(code, await call.details() or "", (), pairs)


@pytest.mark.parametrize("why", ["blocked", "signed out", "without the role", "expired"])
async def test_a_stream_ends_within_two_seconds_of_what_its_token_rests_on(
    market: Market, people: People, why: str
) -> None:
    person = await market.person(Role.ADMIN)
    token, ends = person.token, None
    if why == "blocked":
        verdict, ends = ACCOUNT_BLOCKED, lambda: market.block(person)
    elif why == "signed out":
        verdict, ends = SESSION_REVOKED, lambda: market.call(auth_service_pb2.LogoutRequest(), person)
    elif why == "without the role":
        verdict, ends = ROLE_REQUIRED, lambda: market.set_roles(person, Role.BUYER)
    else:
        verdict, token = TOKEN_EXPIRED, people.mint.token(person, exp=int(time.time()) + 2)
    outcome = await _ends(market, token, ends)
    assert (outcome.code, outcome.reason) == verdict
    check_refusal(outcome)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token {}", "{}", "Bearer {} {}", "Bearer {},Bearer {}"]
)
async def test_an_authorization_of_another_form_is_an_invalid_token(market: Market, header: str) -> None:
    value = header.replace("{}", market.buyer.token)
    request = catalog_service_pb2.GetProductRequest(product_id=market.goods.product_id)
    outcome = await market.send(PUBLIC, request, metadata=[("authorization", value)])
    assert (outcome.code, outcome.reason) == TOKEN_INVALID, outcome
    check_refusal(outcome)
