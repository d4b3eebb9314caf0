"""The typed client's session: which calls carry its token, and what goes on when the server has ended it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.message import Message
from marketd.app import access_table
from marketplace.auth.v1 import auth_service_pb2, token_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace.type.v1 import cart_merge_pb2
from marketplace_client import MarketplaceClient, MarketplaceError, SignInRequired, tokens, watch_order
from marketplace_client.methods import METHODS, TokenUse

from tests.worlds.client_door import AUTH, Door, Held, signed_in
from tests.worlds.client_script import Came, Script, asking

CART = "/marketplace.cart.v1.CartService/"
LIST_PRODUCTS = "/marketplace.catalog.v1.CatalogService/ListProducts"
GET_ORDER = "/marketplace.order.v1.OrderService/GetOrder"
OVER = ["SESSION_REVOKED", "REFRESH_TOKEN_REUSED", "TOKEN_EXPIRED", "TOKEN_INVALID", "ACCOUNT_BLOCKED"]


def current(client: MarketplaceClient) -> str:
    """The access token that the client holds."""
    assert client.tokens is not None
    return client.tokens.access_token


async def get_order(client: MarketplaceClient) -> None:
    """A call that needs a session."""
    await client.order.GetOrder(order_service_pb2.GetOrderRequest())


async def read(stream: Any) -> None:
    """All of a stream."""
    async for _ in stream:
        pass


async def browse(client: MarketplaceClient) -> None:
    """Calls that need none: reads and the way back to a lost password."""
    await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest())
    await client.seller.GetSeller(seller_service_pb2.GetSellerRequest())
    await client.auth.RequestPasswordReset(auth_service_pb2.RequestPasswordResetRequest(email="jo@shop.example"))


def test_which_calls_carry_a_token_follows_from_the_rules_of_the_contract() -> None:
    public = {rule["method"] for rule in access_table().policy_document()["methods"] if rule["access"] == ["PUBLIC"]}
    assert {facts.path for facts in METHODS.values() if facts.token_use is not TokenUse.NEEDED} == public & set(METHODS)
    never = {facts.path for facts in METHODS.values() if facts.token_use is TokenUse.NEVER}
    names = ("Register", "Login", "RefreshTokens", "RequestPasswordReset", "ResetPassword", "IssueServiceToken")
    assert {path.removeprefix(AUTH) for path in never} == {*names, "UndoEmailChange", f"{CART}CreateGuestCart"}


async def test_what_is_open_to_everybody_and_no_read_never_carries_the_token_and_a_read_does() -> None:
    door = Door()
    async with signed_in(door) as client:
        await browse(client)
        await get_order(client)
        token = current(client)
    assert door.tokens_of(f"{AUTH}RequestPasswordReset") == [""]
    # An owner sees drafts.
    assert door.tokens_of(LIST_PRODUCTS) == door.tokens_of(GET_ORDER) == [token]


@pytest.mark.parametrize("reason", OVER)
async def test_a_session_that_is_over_is_dropped_and_what_needs_none_goes_on(reason: str) -> None:
    door = Door()
    door.refresh_reason = reason
    async with signed_in(door) as client:
        door.refused[current(client)] = reason
        await browse(client)
        assert client.tokens is None
        for _ in range(2):
            with pytest.raises(SignInRequired, match="sign in again") as refused:
                await get_order(client)
            assert refused.value.reason == reason
        await browse(client)
        # Once with the token, and from then on without; a call that needs one does not even go out.
        assert [bool(token) for token in door.tokens_of(LIST_PRODUCTS)] == [True, False, False]
        assert door.tokens_of(GET_ORDER) == []
        await client.login("jo", "p")
        await get_order(client)
        assert door.tokens_of(GET_ORDER) == [current(client)]


@pytest.mark.parametrize("reason", OVER)
async def test_a_call_that_needs_a_session_says_that_it_is_over(reason: str) -> None:
    door = Door()
    door.refresh_reason = reason
    async with signed_in(door) as client:
        door.refused[current(client)] = reason
        with pytest.raises(SignInRequired, match="sign in again") as refused:
            await get_order(client)
        assert (refused.value.reason, client.tokens) == (reason, None)
        await browse(client)
        await client.logout()
        with pytest.raises(SignInRequired) as refused:
            await get_order(client)
        assert refused.value.reason == "UNAUTHENTICATED"


async def test_a_session_whose_refresh_is_refused_ends_before_a_call_goes_out() -> None:
    door = Door()
    door.lifetime, door.refresh_reason = 0.0, "REFRESH_TOKEN_REUSED"
    async with signed_in(door) as client:
        waiting = [call(client) for _ in range(10) for call in (get_order, MarketplaceClient.refresh)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {SignInRequired}
        assert client.tokens is None
        await browse(client)
    assert len(door.tokens_of(f"{AUTH}RefreshTokens")) == 1
    assert door.tokens_of(GET_ORDER) == []


async def test_a_guests_token_that_is_refused_is_forgotten_and_what_needs_none_goes_on() -> None:
    door = Door()
    door.refused["g"] = "TOKEN_EXPIRED"
    async with signed_in(door) as signed, MarketplaceClient(signed.target, guest_token="g") as client:
        await browse(client)
        assert client.guest_token is None
        await browse(client)
    assert door.tokens_of(LIST_PRODUCTS) == ["g", "", ""]


async def test_a_token_that_somebody_else_keeps_fresh_is_dropped_until_there_is_another() -> None:
    door = Door()
    async with signed_in(door) as signed, MarketplaceClient(signed.target, access_token="given") as client:
        door.refused["given"] = "TOKEN_EXPIRED"
        with pytest.raises(SignInRequired):
            await get_order(client)
        await browse(client)
    assert door.tokens_of(LIST_PRODUCTS) == [""]


async def test_while_a_session_ends_under_many_calls_those_that_need_none_all_succeed() -> None:
    door = Door()
    async with signed_in(door) as client:
        door.refused[current(client)] = "SESSION_REVOKED"
        calls = [go(client) for _ in range(20) for go in (browse, get_order)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[::2] == [None] * 20
    assert {type(outcome) for outcome in outcomes[1::2]} == {SignInRequired}


@pytest.mark.parametrize("reason", OVER)
async def test_a_call_that_is_refused_for_the_old_session_comes_again_with_the_new_one(reason: str) -> None:
    door, held = Door(), Held()
    async with signed_in(door) as client:
        old = current(client)
        door.refused[old], door.before_refusing = reason, held.wait
        late = [asyncio.create_task(call(client)) for call in (get_order, browse)]
        await held.until_arrived()
        await client.login("jo", "p")
        held.let_go()
        await asyncio.gather(*late)
        assert door.tokens_of(GET_ORDER) == [old, current(client)]
        assert door.tokens_of(LIST_PRODUCTS) in ([old, current(client)], [current(client)])


@pytest.mark.parametrize("reason", ["SESSION_REVOKED", "TOKEN_EXPIRED"])
async def test_what_one_account_began_is_not_done_by_the_next(reason: str) -> None:
    door, refusing, exchanging = Door(), Held(), Held("SESSION_REVOKED")
    async with signed_in(door) as client:
        kept = client.tokens
        assert kept is not None
        door.refused[kept.access_token], door.held[kept.refresh_token] = reason, exchanging
        # One is refused after the other has signed in, and one is refused at once and waits for an exchange.
        waiting = asyncio.create_task(get_order(client))
        if reason == "TOKEN_EXPIRED":
            await exchanging.until_arrived()
        door.before_refusing = refusing.wait
        late = asyncio.create_task(get_order(client))
        await refusing.until_arrived()
        await client.login("kim", "p")
        refusing.let_go()
        exchanging.let_go()
        for call in (waiting, late):
            with pytest.raises(MarketplaceError) as refused:
                await call
            assert (type(refused.value), refused.value.reason) == (MarketplaceError, reason)
        assert set(door.tokens_of(GET_ORDER)) == {kept.access_token}
        await get_order(client)


async def test_a_call_that_had_no_token_comes_again_when_somebody_has_signed_in_meanwhile() -> None:
    door, held = Door(), Held()
    async with signed_in(door) as client:
        await client.logout()
        door.before_refusing = held.wait
        late = asyncio.create_task(get_order(client))
        await held.until_arrived()
        await client.login("jo", "p")
        held.let_go()
        await late
        assert door.tokens_of(GET_ORDER) == ["", current(client)]


async def test_a_call_does_not_come_again_for_ever_however_often_tokens_are_replaced() -> None:
    door = Door()
    async with signed_in(door) as client:

        async def replace() -> None:
            await client.login("jo", "p")
            door.refused[current(client)] = "SESSION_REVOKED"

        door.refused[current(client)], door.before_refusing = "SESSION_REVOKED", replace
        with pytest.raises(MarketplaceError) as refused:
            await get_order(client)
        assert (type(refused.value), refused.value.reason) == (MarketplaceError, "SESSION_REVOKED")
        assert client.tokens is not None
    assert 2 < len(door.tokens_of(GET_ORDER)) < 10


async def test_a_stream_that_ends_with_the_old_session_asks_nobody_to_sign_in_who_just_has() -> None:
    door, held = Door(), Held()
    async with signed_in(door) as client:
        door.refused[current(client)], door.before_refusing = "SESSION_REVOKED", held.wait
        late = asyncio.create_task(read(client.order.WatchOrder(order_service_pb2.WatchOrderRequest(order_id="o"))))
        await held.until_arrived()
        await client.login("jo", "p")
        held.let_go()
        with pytest.raises(MarketplaceError) as refused:
            await late
        assert (type(refused.value), refused.value.reason) == (MarketplaceError, "SESSION_REVOKED")
        await get_order(client)


@pytest.mark.parametrize("end", ["SESSION_REVOKED", "REFRESH_TOKEN_REUSED", "RATE_LIMITED", ""])
async def test_the_exchange_of_the_old_session_is_nothing_to_the_new_one(end: str) -> None:
    door, held = Door(), Held(end)
    async with signed_in(door) as client:
        assert client.tokens is not None
        door.held[client.tokens.refresh_token] = held
        late = [asyncio.create_task(call) for call in (client.refresh(), client.refresh())]
        door.refused[current(client)] = "TOKEN_EXPIRED"
        late.append(asyncio.create_task(get_order(client)))
        await held.until_arrived()
        await door.until_refused(GET_ORDER)
        await client.login("jo", "p")
        # The new session exchanges its own tokens, and waits for nobody else's.
        second = current(client)
        await asyncio.wait_for(client.refresh(), 10)
        third = current(client)
        assert third != second
        held.let_go()
        await asyncio.gather(*late)
        assert current(client) == third
        assert door.tokens_of(GET_ORDER)[-1] == third
    assert len(door.tokens_of(f"{AUTH}RefreshTokens")) == 2


@pytest.mark.parametrize("end", ["SESSION_REVOKED", ""])
async def test_who_signs_out_during_an_exchange_is_signed_out(end: str) -> None:
    door, held = Door(), Held(end)
    async with signed_in(door) as client:
        kept = client.tokens
        assert kept is not None
        door.held[kept.refresh_token] = held
        late = asyncio.create_task(client.refresh())
        await held.until_arrived()
        await client.logout()
        held.let_go()
        await late
        assert client.tokens is None
        with pytest.raises(SignInRequired) as refused:
            await get_order(client)
        assert refused.value.reason == "UNAUTHENTICATED"


async def test_a_refresh_that_fails_for_now_keeps_nobody_from_browsing_and_the_session_as_it_is() -> None:
    door = Door()
    async with signed_in(door) as client:
        kept = client.tokens
        door.refused[current(client)] = "TOKEN_EXPIRED"
        door.refresh_reason = "RATE_LIMITED"
        await browse(client)
        with pytest.raises(MarketplaceError) as refused:
            await get_order(client)
        assert (type(refused.value), refused.value.reason) == (MarketplaceError, "RATE_LIMITED")
        assert client.tokens == kept
        door.refresh_reason = ""
        await get_order(client)
        assert client.tokens != kept


async def test_streams_say_that_the_session_is_over_and_drop_it() -> None:
    door = Door()
    watch = order_service_pb2.WatchOrderRequest(order_id="o")

    async def upload() -> AsyncIterator[catalog_service_pb2.ImportProductsRequest]:
        yield catalog_service_pb2.ImportProductsRequest()

    async with signed_in(door) as client:
        streams: list[Callable[[], Any]] = [
            lambda: client.order.WatchOrder(watch),
            lambda: client.catalog.ImportProducts(upload()),
        ]
        for number, begin in enumerate(streams):
            await client.login("jo", "p")
            door.refused[current(client)] = "SESSION_REVOKED"
            for _ in range(2):
                with pytest.raises(SignInRequired, match="sign in again"):
                    await read(begin())
                assert client.tokens is None
            assert len([token for _, token in door.seen if token in door.refused]) == number + 1


async def test_a_stream_whose_token_ended_is_opened_again_with_a_fresh_one() -> None:
    door = Door()
    watch = order_service_pb2.WatchOrderRequest(order_id="o")
    async with signed_in(door) as client:
        door.refused[current(client)] = "TOKEN_EXPIRED"
        with pytest.raises(MarketplaceError) as refused:
            await read(client.order.WatchOrder(watch))
        assert (type(refused.value), client.can_refresh) == (MarketplaceError, True)
        await read(client.order.WatchOrder(watch))
        assert door.tokens_of("/marketplace.order.v1.OrderService/WatchOrder")[-1] == current(client)
        # A watch does so by itself.
        before = current(client)
        door.refused[before] = "TOKEN_EXPIRED"
        await read(watch_order(client, "o"))
        assert door.tokens_of("/marketplace.order.v1.OrderService/WatchOrder")[-1] == current(client) != before


async def test_an_explicit_token_of_the_caller_is_the_callers_own_affair() -> None:
    door = Door()
    door.refused["mine"] = "SESSION_REVOKED"
    metadata = [("authorization", "Bearer mine")]
    async with signed_in(door) as client:
        with pytest.raises(MarketplaceError) as refused:
            await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest(), metadata=metadata)
        assert type(refused.value) is MarketplaceError
        with pytest.raises(MarketplaceError):
            await client.order.GetOrder(order_service_pb2.GetOrderRequest(), metadata=metadata)
        assert door.tokens_of(GET_ORDER) == ["mine"]
        assert client.tokens is not None


async def test_an_exchange_outlasts_whoever_waits_for_it_and_the_client_itself() -> None:
    door, held = Door(), Held()
    kept: list[token_pb2.Tokens] = []
    async with signed_in(door) as signed:
        async with MarketplaceClient(signed.target, on_tokens=kept.append) as client:
            await client.login("jo", "p")
            first = client.tokens
            assert first is not None
            door.held[first.refresh_token] = held
            leaving = asyncio.create_task(client.refresh())
            await held.until_arrived()
            leaving.cancel()
            closing = asyncio.create_task(client.__aexit__(None, None, None))
            await asyncio.wait([leaving])
            held.let_go()
            await asyncio.wait_for(closing, 10)
        # What was exchanged and lost would end the session: whoever stores the tokens has heard of both.
        assert kept == [first, client.tokens]
        assert client.tokens not in (None, first)
    assert len(door.tokens_of(f"{AUTH}RefreshTokens")) == 1


@pytest.mark.parametrize(("lifetime", "good_for"), [(900.0, 840.0), (10.0, 8.0)])
async def test_a_token_is_exchanged_a_while_before_it_ends_by_whatever_clock_this_side_has(
    monkeypatch: pytest.MonkeyPatch, lifetime: float, good_for: float
) -> None:
    now = [0.0]
    # The wall clock is far ahead of the server's.
    monkeypatch.setattr(tokens, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: 4e9))
    door = Door()
    door.lifetime = lifetime
    async with signed_in(door) as client:
        first = current(client)
        now[0] = good_for - 1
        await get_order(client)
        assert current(client) == first
        now[0] = good_for + 1
        await get_order(client)
        assert door.tokens_of(GET_ORDER) == [first, current(client)]
        assert current(client) != first


async def test_signing_out_ends_the_session_on_both_sides() -> None:
    door = Door()
    async with signed_in(door) as client:
        token = current(client)
        await client.logout()
        assert client.tokens is None
        assert door.tokens_of(f"{AUTH}Logout") == [token]
        with pytest.raises(SignInRequired):
            await get_order(client)
        await client.login("jo", "p")
        door.refused[current(client)] = "SESSION_REVOKED"
        await client.logout()
        assert client.tokens is None


async def test_what_is_said_at_sign_in_and_registration_arrives() -> None:
    requests: list[Message] = []

    async def answer(call: Came) -> AsyncIterator[Message]:
        requests.append(await call.message())
        login = isinstance(requests[-1], auth_service_pb2.LoginRequest)
        yield auth_service_pb2.LoginResponse() if login else auth_service_pb2.RegisterResponse()

    person = {
        "full_name": "Jo Lee",
        "username": "jo",
        "phone": "+4930111",
        "language_code": "de",
        "device_name": "till",
    }
    async with asking(Script(Login=answer, Register=answer)) as client:
        await client.register("jo@shop.example", "p", **person)
        await client.login(
            "jo",
            "p",
            device_name="till",
            guest_cart_token="g",
            merge_strategy=cart_merge_pb2.CART_MERGE_STRATEGY_PREFER_GUEST,
        )
    wanted = auth_service_pb2.LoginRequest(
        login="jo",
        password="p",
        device_name="till",
        guest_cart_token="g",
        cart_merge_strategy=cart_merge_pb2.CART_MERGE_STRATEGY_PREFER_GUEST,
    )
    assert requests == [
        auth_service_pb2.RegisterRequest(email="jo@shop.example", password="p", **person),
        wanted,
    ]
