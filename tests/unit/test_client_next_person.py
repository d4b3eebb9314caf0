"""The typed client when somebody else signs in on it: what one person began is not gone on with as the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.auth.v1 import auth_service_pb2, token_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2
from marketplace_client import (
    CourierUplink,
    MarketplaceClient,
    MarketplaceError,
    SignInRequired,
    watch_cart,
    watch_orders,
)

from tests.worlds.client_door import access_token
from tests.worlds.client_script import Came, Script, asking

CODE = grpc.StatusCode
NOW = Timestamp(seconds=1_700_000_000)


def tokens(user_id: str, serial: int = 1) -> token_pb2.Tokens:
    """Those of a session of the account."""
    return token_pb2.Tokens(access_token=access_token(serial, user_id=user_id), refresh_token=f"{user_id}{serial}")


async def log_in(call: Came) -> AsyncIterator[Message]:
    """Login's answer: everybody is let in."""
    request = await call.message()
    yield auth_service_pb2.LoginResponse(tokens=tokens(request.login, call.number + 1))


def sent_as(call: Came) -> str:
    """The token that came with a call."""
    return dict(call.metadata).get("authorization", "").removeprefix("Bearer ")


class Broken:
    """A method whose first call breaks off once somebody has signed in beside it; the later ones are answered."""

    def __init__(self, *answers: Message) -> None:
        self.answers = answers
        self.came = asyncio.Event()
        self.breaks = asyncio.Event()

    async def __call__(self, call: Came) -> AsyncIterator[Message]:
        await call.message()
        for answer in self.answers:
            yield answer
        if call.number == 1:
            self.came.set()
            await self.breaks.wait()
            await call.refuse(CODE.UNAVAILABLE, "DRAINING")

    async def break_after_login(self, client: MarketplaceClient, login: str) -> None:
        """Sign in while the first call runs, and have that one break."""
        async with asyncio.timeout(10):
            await self.came.wait()
        await client.login(login, "p")
        self.breaks.set()


@pytest.mark.parametrize(("login", "sent"), [("kim", 1), ("jo", 2)])
async def test_a_call_that_was_dropped_is_repeated_for_the_same_person_alone(login: str, sent: int) -> None:
    broken = Broken()

    async def clear(call: Came) -> AsyncIterator[Message]:
        async for message in broken(call):
            yield message
        yield cart_service_pb2.ClearCartResponse()

    script = Script(ClearCart=clear, Login=log_in)
    async with asyncio.timeout(20), asking(script, tokens=tokens("jo")) as client:
        called = asyncio.ensure_future(client.cart.ClearCart(cart_service_pb2.ClearCartRequest()))
        await broken.break_after_login(client, login)
        if login == "jo":
            await called
        else:
            with pytest.raises(MarketplaceError) as refused:
                await called
            assert (type(refused.value), refused.value.reason) == (MarketplaceError, "DRAINING")
        assert len(script.came["ClearCart"]) == sent


@pytest.mark.parametrize(("login", "opened"), [("kim", 1), ("jo", 2)])
async def test_a_watch_goes_on_for_the_same_person_alone(login: str, opened: int) -> None:
    broken = Broken(order_service_pb2.WatchOrdersResponse(resume_token="1"))
    script = Script(WatchOrders=broken, Login=log_in)
    async with asyncio.timeout(20), asking(script, tokens=tokens("jo")) as client:
        watching = watch_orders(client)
        await anext(watching)
        later = asyncio.ensure_future(anext(watching))
        await broken.break_after_login(client, login)
        if login == "jo":
            assert (await later).resume_token == "1"
        else:
            with pytest.raises(MarketplaceError, match="somebody else is signed in"):
                await later
        assert len(script.came["WatchOrders"]) == opened


async def test_a_watch_of_a_guests_cart_does_not_become_one_of_the_account_that_signs_in() -> None:
    broken = Broken(cart_service_pb2.WatchCartResponse(resume_token="1"))
    script = Script(WatchCart=broken, Login=log_in)
    async with asyncio.timeout(20), asking(script, guest_token="guest") as client:
        watching = watch_cart(client)
        await anext(watching)
        later = asyncio.ensure_future(anext(watching))
        await broken.break_after_login(client, "jo")
        with pytest.raises(MarketplaceError) as refused:
            await later
        assert not isinstance(refused.value, SignInRequired)
        assert [sent_as(call) for call in script.came["WatchCart"]] == ["guest"]


async def test_positions_of_one_courier_never_go_up_as_those_of_the_next() -> None:
    came, breaks = asyncio.Event(), asyncio.Event()

    async def stream(call: Came) -> AsyncIterator[Message]:
        await call.message()
        yield tracking_service_pb2.StreamLocationsResponse(ack=position_pb2.Ack())
        await call.message()
        came.set()
        await breaks.wait()
        await call.refuse(CODE.UNAVAILABLE, "DRAINING")

    script = Script(StreamLocations=stream, Login=log_in)
    async with asyncio.timeout(20), asking(script, tokens=tokens("jo")) as client:
        async with CourierUplink(client, close_timeout=0.1) as uplink:
            await uplink.send(52.5, 13.4, NOW)
            await came.wait()
            await client.login("kim", "p")
            breaks.set()
            with pytest.raises(MarketplaceError, match="somebody else is signed in"):
                await uplink.flush(10)
        assert [sent_as(call) for call in script.came["StreamLocations"]] == [tokens("jo").access_token]
