"""Carts watched on real Postgres: how they are, every change of what is shown, whoever made it, and resuming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from marketd.cart import convert
from marketd.cart.errors import GuestCartGone
from marketd.cart.owner import CartOwner
from marketd.cart.values import PricedCart
from marketd.cart.watch import CartPlace, CartSnapshot, CartUpdate, watch_cart
from marketd.cart.watchers import CartWatchers
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import DatabaseUnavailable
from marketd.kernel.events.watch import RESUME_LIFETIME, Beat
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.type.v1 import watch_pb2

from tests.worlds.ordering import PRICING, Market, minor
from tests.worlds.sent import Sent

Stream = AsyncGenerator[cart_service_pb2.WatchCartResponse, None]
News = AsyncGenerator[tuple[CartPlace | None, Any], None]


@asynccontextmanager
async def _reading(watchers: CartWatchers) -> AsyncIterator[CartWatchers]:
    """The watchers, read for as in a process."""
    task = asyncio.ensure_future(watchers.run())
    try:
        async with asyncio.timeout(20):
            yield watchers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def served(market: Market) -> AsyncIterator[None]:
    """What runs beside the cart's servicer in a process."""
    [run] = market.built.slices["cart"].tasks
    task = asyncio.ensure_future(run())
    async with asyncio.timeout(20):
        yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _open(market: Market, caller: Caller, resume_token: str = "") -> AsyncIterator[Stream]:
    """WatchCart."""
    calls.enter(Call(caller=caller))
    request = cart_service_pb2.WatchCartRequest(resume_token=resume_token)
    stream = cast(Stream, market.carts.WatchCart(request, cast(Any, None)))
    try:
        yield stream
    finally:
        await stream.aclose()


def _show(cart: PricedCart) -> cart_pb2.Cart:
    return convert.to_cart(cart, "")


def _watch(
    market: Market, watchers: CartWatchers, caller: Caller, after: CartPlace | None = None, beat_seconds: float = 60
) -> News:
    owner = CartOwner.of(caller)
    return watch_cart(market.tx, watchers, market.clock, owner, PRICING, after, _show, beat_seconds=beat_seconds)


async def _next(news: News) -> cart_pb2.Cart:
    """The cart of the next change."""
    _, update = await anext(news)
    assert isinstance(update, CartUpdate)
    return cast(cart_pb2.Cart, update.shown)


def _held(cart: cart_pb2.Cart) -> dict[UUID, int]:
    return {UUID(item.variant_id): item.quantity for item in cart.items}


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("is_guest", [False, True])
async def test_a_watch_shows_the_cart_and_every_change_also_of_another_device(
    market: Market, other: Market, is_guest: bool
) -> None:
    one, two = await market.variants(await market.shop(), 2)
    caller = (await market.guest())[0] if is_guest else await market.buyer()
    async with _open(market, caller) as stream:
        assert _held((await anext(stream)).snapshot.cart) == {}
        for worker, variant, held in ((market, one, {one: 2}), (other, two, {one: 2, two: 2})):
            changed = await worker.add(caller, variant, 2)
            message = await anext(stream)
            assert _held(message.cart) == held
            assert message.cart == changed
            assert message.resume_token


@pytest.mark.usefixtures("served")
async def test_a_watch_goes_on_with_what_looks_different_since(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    async with _open(market, buyer) as stream:
        first = await anext(stream)
    await market.add(buyer, variant)
    await market.add(buyer, variant)
    async with _open(market, buyer, first.resume_token) as stream:
        missed = await anext(stream)
        assert _held(missed.cart) == {variant: 2}
    # Nothing has happened since, so the next word is of what happens next.
    async with _open(market, buyer, missed.resume_token) as stream:
        coming = asyncio.ensure_future(anext(stream))
        await market.add(buyer, variant)
        seen = await coming
        assert _held(seen.cart) == {variant: 3}
    # A price is news as well, though nobody touched the cart.
    await market.set_price(variant, 7)
    async with _open(market, buyer, seen.resume_token) as stream:
        assert minor((await anext(stream)).cart.subtotal) == 21


@pytest.mark.usefixtures("served")
async def test_a_token_of_no_use_is_reset(market: Market) -> None:
    buyer, stranger = await market.buyer(), await market.buyer()
    guest, _ = await market.guest()
    async with _open(market, buyer) as stream:
        token = (await anext(stream)).resume_token
    for caller, given in ((buyer, "nonsense"), (stranger, token), (guest, token)):
        async with _open(market, caller, given) as stream:
            reset, snapshot = await anext(stream), await anext(stream)
            assert reset.reset.reason == watch_pb2.STREAM_RESET_REASON_TOKEN_UNKNOWN
            assert reset.reset.message
            assert not reset.resume_token, "whoever has seen the reset alone has nothing to go on from"
            assert snapshot.HasField("snapshot")
    market.clock.ahead = RESUME_LIFETIME + timedelta(minutes=1)
    async with _open(market, buyer, token) as stream:
        assert (await anext(stream)).reset.reason == watch_pb2.STREAM_RESET_REASON_TOKEN_TOO_OLD


async def test_prices_stock_and_orders_are_told(market: Market, other: Market) -> None:
    shop, buyer, rival = await market.shop(), await market.buyer(), await market.buyer()
    variant = await market.variant(shop, stock=5)
    await market.add(buyer, variant, 3)
    async with _reading(CartWatchers(market.tx, PRICING, poll_seconds=0.02)) as watchers:
        news = _watch(market, watchers, buyer)
        assert isinstance((await anext(news))[1], CartSnapshot)
        await market.set_price(variant, 900)
        cart = await _next(news)
        assert minor(cart.subtotal) == 2_700
        assert [problem.kind for problem in cart.items[0].problems] == [cart_pb2.PROBLEM_KIND_PRICE_CHANGED]
        await market.set_price(variant, 1_000)
        assert not (await _next(news)).items[0].problems
        # That the stock falls is nobody's news until it is too low.
        await other.place(rival, (variant, 1))
        await other.place(rival, (variant, 2))
        [problem] = (await _next(news)).items[0].problems
        assert (problem.kind, problem.available_quantity) == (cart_pb2.PROBLEM_KIND_INSUFFICIENT_STOCK, 2)
        await market.execute("UPDATE stocks SET on_hand = 9")
        assert not (await _next(news)).items[0].problems
        await other.place_quote(buyer, await other.quote(buyer))
        assert _held(await _next(news)) == {}
        await news.aclose()


async def test_a_merge_changes_the_accounts_cart_and_ends_the_guests_watch(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, token = await market.guest()
    await market.add(guest, variant, 4)
    async with _reading(CartWatchers(market.tx, PRICING, poll_seconds=0.02)) as watchers:
        own, guests = _watch(market, watchers, buyer), _watch(market, watchers, guest)
        await anext(own)
        await anext(guests)
        await other.merge(buyer, token)
        assert _held(await _next(own)) == {variant: 4}
        for late in (guests, _watch(market, watchers, guest)):
            with pytest.raises(GuestCartGone):
                await anext(late)
        await own.aclose()


async def test_a_heartbeat_comes_while_nothing_happens(market: Market) -> None:
    buyer = await market.buyer()
    watchers = CartWatchers(market.tx, PRICING)
    news = _watch(market, watchers, buyer, beat_seconds=0.01)
    async with asyncio.timeout(10):
        place, first = await anext(news)
        assert isinstance(first, CartSnapshot)
        assert [(await anext(news))[0] for _ in range(2)] == [place, place]
        await news.aclose()
        # After that place nothing is told that was told.
        news = _watch(market, watchers, buyer, place, beat_seconds=0.01)
        assert isinstance((await anext(news))[1], Beat)
        await news.aclose()


async def test_a_watch_that_can_read_nothing_for_long_does_not_pretend(market: Market) -> None:
    news = _watch(market, CartWatchers(market.tx, PRICING, patience_seconds=0), await market.buyer(), beat_seconds=0.01)
    await anext(news)
    with pytest.raises(DatabaseUnavailable):
        await anext(news)


async def test_a_watch_that_is_over_is_read_for_no_more(market: Market) -> None:
    watchers, sent = CartWatchers(market.tx, PRICING), Sent(market.tx)
    buyer = await market.buyer()
    news, other = _watch(market, watchers, buyer), _watch(market, watchers, buyer)
    await anext(news)
    await anext(other)
    await other.aclose()
    assert await sent.during(watchers.poll()), "one of two is left"
    await news.aclose()
    assert await sent.during(watchers.poll()) == []


async def test_of_very_many_carts_changes_are_told_at_once_and_prices_in_turn(market: Market) -> None:
    variant = await market.variant(await market.shop())
    watchers = CartWatchers(market.tx, PRICING, priced_a_poll=2)
    guests = [(await market.guest())[0] for _ in range(6)]
    for guest in guests:
        await market.add(guest, variant)
    streams = [_watch(market, watchers, guest) for guest in guests]
    for stream in streams:
        await anext(stream)
    await watchers.poll()

    async def told() -> list[bool]:
        """Which streams have heard of something after one more poll."""
        await watchers.poll()
        done, _ = await asyncio.wait(waiting, timeout=0.05)
        return [task in done for task in waiting]

    await market.set_price(variant, 500)
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    assert [sum(await told()) for _ in range(3)] == [2, 4, 6]
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await market.add(guests[5], variant)
    await market.add(guests[0], variant)
    assert await told() == [True, False, False, False, False, True]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
