"""A guest with the typed client: fills a cart, signs in or registers with it, and is told when it is gone."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.type.v1 import cart_merge_pb2 as merging
from marketplace_client import MarketplaceClient, MarketplaceError, SignInRequired, watch_cart

from tests.worlds.workers import PASSWORD, Worker

Workers = tuple[Worker, Worker]
pytestmark = pytest.mark.asyncio(loop_scope="session")
CART = cart_service_pb2.GetCartRequest()


def client_of(worker: Worker, guest_token: str | None = None) -> MarketplaceClient:
    """A client of the worker."""
    return MarketplaceClient(f"127.0.0.1:{worker.app.port}", guest_token=guest_token)


def _email() -> str:
    return f"{secrets.token_hex(8)}@shop.example"


async def test_a_guests_cart_comes_along_when_somebody_signs_in(workers: Workers) -> None:
    email = _email()
    async with client_of(workers[0]) as known, client_of(workers[0]) as client:
        await known.register(email, PASSWORD)
        opened = await client.open_guest_cart()
        assert opened.guest
        token = client.guest_token
        assert (await client.cart.GetCart(CART)).cart == opened
        with pytest.raises(MarketplaceError) as refused:
            await client.order.ListOrders(order_service_pb2.ListOrdersRequest())
        assert refused.value.reason == "ROLE_REQUIRED"
        # Another device goes on with the same cart.
        async with client_of(workers[1], token) as tablet:
            assert (await tablet.cart.GetCart(CART)).cart.cart_id == opened.cart_id
            answer = await client.login(email, PASSWORD, merge_strategy=merging.CART_MERGE_STRATEGY_PREFER_USER)
            assert answer.cart_merge.strategy == merging.CART_MERGE_STRATEGY_PREFER_USER
            assert client.guest_token is None
            cart = (await client.cart.GetCart(CART)).cart
            assert answer.cart_merge.cart_id == cart.cart_id != opened.cart_id
            assert not cart.guest
            with pytest.raises(SignInRequired, match="CreateGuestCart"):
                await tablet.cart.GetCart(CART)
            assert tablet.guest_token is None
            # It makes a new one only when it is told to.
            await tablet.open_guest_cart()
            assert (await tablet.cart.GetCart(CART)).cart.cart_id not in (opened.cart_id, cart.cart_id)
        # The token is spent, and hinders nobody who has kept it.
        assert not (await known.login(email, PASSWORD, guest_cart_token=token or "")).HasField("cart_merge")
        for nonsense in ("", "x", "A" * 43, "A" * 512):
            assert not (await known.login(email, PASSWORD, guest_cart_token=nonsense)).HasField("cart_merge")


async def test_a_guests_cart_comes_along_when_somebody_registers(workers: Workers) -> None:
    async with client_of(workers[0]) as client:
        await client.open_guest_cart()
        await client.register(_email(), PASSWORD)
        assert client.guest_token is None
        assert not (await client.cart.GetCart(CART)).cart.guest
        assert await client.merge_guest_cart() is None


async def test_who_registers_with_a_cart_that_is_gone_is_registered(workers: Workers) -> None:
    async with client_of(workers[0]) as first:
        await first.open_guest_cart()
        token = first.guest_token
        await first.register(_email(), PASSWORD)
    async with client_of(workers[0], token) as late:
        await late.register(_email(), PASSWORD)
        assert late.tokens is not None
        assert late.guest_token is None


async def test_a_watch_is_ended_by_a_sign_in_at_another_worker(workers: Workers) -> None:
    async with client_of(workers[0]) as guest, client_of(workers[1]) as other:
        await other.register(_email(), PASSWORD)
        await guest.open_guest_cart()
        watching: Any = watch_cart(guest)
        assert (await anext(watching)).HasField("snapshot")
        merge = cart_service_pb2.MergeCartsRequest(guest_token=guest.guest_token or "")
        await other.cart.MergeCarts(merge)
        with pytest.raises(SignInRequired):
            async with asyncio.timeout(10):
                await anext(watching)


async def test_a_guest_may_call_again_under_the_same_request_id_and_another_guest_under_it_too(
    workers: Workers,
) -> None:
    request_id = secrets.token_hex(16)
    key = f"{request_id[:8]}-{request_id[8:12]}-{request_id[12:16]}-{request_id[16:20]}-{request_id[20:]}"
    request = cart_service_pb2.ClearCartRequest(request_id=key)
    carts = []
    for worker in workers:
        async with client_of(worker) as guest:
            opened = await guest.open_guest_cart()
            answers = [(await guest.cart.ClearCart(request)).cart.cart_id for _ in range(2)]
            assert answers == [opened.cart_id] * 2
            carts.append(opened.cart_id)
    assert len(set(carts)) == 2


async def test_a_bad_token_in_the_header_is_no_sign_in_without_one(workers: Workers) -> None:
    """A guest's token that was never ours is refused as any other bad token is, also by Login."""
    request = auth_service_pb2.LoginRequest(login=_email(), password=PASSWORD)
    with pytest.raises(Exception, match="not valid") as refused:
        await workers[0].auth.Login(request, metadata=(("authorization", f"Bearer {'A' * 43}"),))
    assert refused.value.code().name == "UNAUTHENTICATED"  # type: ignore[attr-defined] # grpc's own error
