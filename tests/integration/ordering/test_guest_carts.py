"""Guests' carts on real Postgres: kept like a buyer's, merged into an account's with their quotes, gone after that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, cast
from uuid import UUID, uuid4

import pytest
from marketd.auth.ports import MergeStrategy
from marketd.cart.errors import GuestCartGone, GuestTokenInvalid, QuoteExpired
from marketd.cart.merge import merge_guest_cart
from marketd.cart.sweeps import sweep_guest_carts
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.db.uow import UnitOfWork
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.type.v1 import cart_merge_pb2 as merging

from tests.worlds.ordering import Market

LIFETIME: Final = timedelta(days=30)
_STRATEGIES: Final = {
    "SUM": merging.CART_MERGE_STRATEGY_SUM,
    "KEEP_MAX": merging.CART_MERGE_STRATEGY_KEEP_MAX,
    "PREFER_GUEST": merging.CART_MERGE_STRATEGY_PREFER_GUEST,
    "PREFER_USER": merging.CART_MERGE_STRATEGY_PREFER_USER,
}


def _held(cart: cart_pb2.Cart) -> dict[UUID, int]:
    return {UUID(item.variant_id): item.quantity for item in cart.items}


def _to_a_street() -> cart_service_pb2.QuoteOrderRequest:
    """A quote for somebody whose name and phone the shop is not told yet."""
    request = cart_service_pb2.QuoteOrderRequest()
    request.address.lines.append("Kastanienallee 9")
    request.address.city = "Berlin"
    return request


async def test_a_guest_keeps_a_cart_as_a_buyer_does_and_nobody_elses(market: Market) -> None:
    one, two = await market.variants(await market.shop(), 2)
    (guest, token), (other, other_token) = await market.guest(), await market.guest()
    assert token != other_token
    await asyncio.gather(*(market.add(guest, one) for _ in range(8)))
    await market.add(other, two, 3)
    cart = await market.cart(guest)
    assert cart.guest
    assert _held(cart) == {one: 8}
    item = cart.items[0]
    change = cart_service_pb2.UpdateCartItemRequest(item=item, cart_etag=cart.etag)
    change.item.quantity = 2
    cart = (await market.call(guest, market.carts.UpdateCartItem, change)).cart
    assert _held(cart) == {one: 2}
    # A line of somebody else's is none.
    foreign = cart_service_pb2.RemoveCartItemRequest(item_id=item.item_id)
    with pytest.raises(NotFound):
        await market.call(other, market.carts.RemoveCartItem, foreign)
    await market.call(guest, market.carts.RemoveCartItem, foreign)
    await market.call(other, market.carts.ClearCart, cart_service_pb2.ClearCartRequest())
    assert _held(await market.cart(guest)) == _held(await market.cart(other)) == {}


async def test_an_account_is_no_guest_and_its_carts_id_opens_nothing(market: Market) -> None:
    buyer = await market.buyer()
    await market.add(buyer, await market.variant(await market.shop()))
    cart = await market.cart(buyer)
    assert not cart.guest
    posing = Caller(None, None, frozenset(), guest_cart_id=UUID(cart.cart_id))
    with pytest.raises(GuestCartGone):
        await market.cart(posing)
    tokens = GuestTokens(market.built.parts.settings.derive("guest-carts"))
    with pytest.raises(NotFound):
        await market.merge(await market.buyer(), tokens.issue(UUID(cart.cart_id)))
    assert len((await market.cart(buyer)).items) == 1


async def test_a_guests_cart_is_merged_with_a_report_and_gone(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    both, only_guest, full, only_own = await market.variants(shop, 4)
    gone = await market.variant(shop)
    guest, token = await market.guest()
    for variant, quantity in ((both, 2), (full, 998), (only_own, 1)):
        await market.add(buyer, variant, quantity)
    for variant, quantity in ((both, 3), (only_guest, 1), (full, 5), (gone, 1)):
        await market.add(guest, variant, quantity)
    await market.execute(
        "UPDATE products SET state = 'ARCHIVED' WHERE product_id IN"
        " (SELECT product_id FROM variants WHERE variant_id = $1)",
        gone,
    )
    before = await market.cart(buyer)
    merged = await market.merge(buyer, token)
    lines = {UUID(line.variant_id): (line.merged_quantity, line.outcome) for line in merged.report.lines}
    assert lines == {
        both: (5, merging.CART_MERGE_OUTCOME_COMBINED),
        only_guest: (1, merging.CART_MERGE_OUTCOME_ADDED),
        full: (999, merging.CART_MERGE_OUTCOME_LIMITED),
        gone: (0, merging.CART_MERGE_OUTCOME_DROPPED),
    }
    assert merged.report.strategy == merging.CART_MERGE_STRATEGY_SUM
    assert merged.report.cart_id == merged.cart.cart_id == before.cart_id
    assert _held(merged.cart) == {both: 5, only_guest: 1, full: 999, only_own: 1}
    assert [item.item_id for item in merged.cart.items[:3]] == [item.item_id for item in before.items]
    assert merged.cart == await market.cart(buyer)
    assert merged.cart.etag != before.etag
    with pytest.raises(NotFound):
        await market.merge(buyer, token)


@pytest.mark.parametrize(
    ("strategy", "after", "is_changed"),
    [("SUM", 5, True), ("KEEP_MAX", 3, True), ("PREFER_GUEST", 3, True), ("PREFER_USER", 2, False)],
)
async def test_the_strategy_decides_and_a_merge_that_changes_nothing_keeps_the_etag(
    market: Market, strategy: str, after: int, is_changed: bool
) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, token = await market.guest()
    etag = (await market.add(buyer, variant, 2)).etag
    await market.add(guest, variant, 3)
    merged = await market.merge(buyer, token, _STRATEGIES[strategy])
    assert _held(merged.cart) == {variant: after}
    assert (merged.cart.etag != etag) == is_changed


async def test_a_merge_is_done_once_and_a_repeat_hears_what_it_did(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, token = await market.guest()
    await market.add(guest, variant, 4)
    request_id = str(uuid4())
    answers = await asyncio.gather(
        *((market, other)[n % 2].merge(buyer, token, request_id=request_id) for n in range(6))
    )
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert _held(await market.cart(buyer)) == {variant: 4}
    # Whoever comes with another id, and another account, finds it gone.
    for late in (buyer, await market.buyer()):
        with pytest.raises(NotFound):
            await market.merge(late, token)


async def test_a_token_goes_to_one_account_when_two_take_it_at_once(market: Market, other: Market) -> None:
    variant = await market.variant(await market.shop())
    guest, token = await market.guest()
    await market.add(guest, variant, 2)
    buyers = [await market.buyer() for _ in range(6)]
    results = await asyncio.gather(
        *((market, other)[n % 2].merge(buyer, token) for n, buyer in enumerate(buyers)), return_exceptions=True
    )
    assert sorted(isinstance(result, NotFound) for result in results) == [False] + [True] * 5
    carts = [_held(await market.cart(buyer)) for buyer in buyers]
    assert sorted(map(len, carts)) == [0] * 5 + [1]


async def test_what_is_no_token_merges_nothing(market: Market) -> None:
    buyer = await market.buyer()
    _, token = await market.guest()
    foreign = GuestTokens(b"another marketplace's secret").issue(uuid4())
    for forged in (foreign, token[:-1], token[:-1] + ("A" if token[-1] != "A" else "E"), token + "A", "x", "ü" * 43):
        with pytest.raises(GuestTokenInvalid):
            await market.merge(buyer, forged)


def _uses(market: Market, guest: Caller, variant: UUID) -> list[Callable[[], Awaitable[object]]]:
    """Every use of a cart."""
    service = market.carts
    item = cart_pb2.CartItem(item_id=str(uuid4()), quantity=1)
    return [
        lambda: market.cart(guest),
        lambda: market.add(guest, variant),
        lambda: market.add(guest, uuid4()),
        lambda: market.call(guest, service.UpdateCartItem, cart_service_pb2.UpdateCartItemRequest(item=item)),
        lambda: market.call(
            guest, service.RemoveCartItem, cart_service_pb2.RemoveCartItemRequest(item_id=item.item_id)
        ),
        lambda: market.call(guest, service.ClearCart, cart_service_pb2.ClearCartRequest()),
        lambda: market.quote(guest),
        lambda: market.call(guest, service.QuoteOrder, cart_service_pb2.QuoteOrderRequest(address_id=str(uuid4()))),
    ]


async def test_every_use_of_a_cart_that_is_gone_says_so_and_makes_no_new_one(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, token = await market.guest()
    await market.merge(buyer, token)
    for use in _uses(market, guest, variant):
        with pytest.raises(GuestCartGone):
            await use()
    assert await market.value("SELECT count(*) FROM carts WHERE user_id IS NULL") == 0


async def test_a_guests_quote_is_ordered_after_signing_in_and_completed_from_the_account(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, token = await market.guest()
    await market.add(guest, variant, 2)
    quote = await market.call(guest, market.carts.QuoteOrder, _to_a_street())
    assert quote.address.recipient == quote.address.phone == ""
    # Before the merge it is nobody's who could order it.
    with pytest.raises(QuoteExpired):
        await market.place_quote(buyer, quote)
    await market.merge(buyer, token)
    group = await market.place_quote(buyer, quote)
    address = group.orders[0].address
    assert (address.recipient, address.city) == ("Kim Lee", "Berlin")
    assert address.phone.startswith("+49")
    assert _held(await market.cart(buyer)) == {}
    with pytest.raises(QuoteExpired):
        await market.place_quote(buyer, quote)


async def test_only_quotes_that_can_still_be_ordered_come_along_and_only_to_who_merges(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, token = await market.guest()
    await market.add(guest, variant)
    await market.quote(guest)
    market.clock.ahead = market.built.parts.settings.quote_lifetime + timedelta(seconds=1)
    quote = await market.quote(guest)
    await market.merge(buyer, token)
    assert await market.value("SELECT count(*) FROM quotes") == 1
    with pytest.raises(QuoteExpired):
        await market.place_quote(await market.buyer(), quote)
    await market.place_quote(buyer, quote)


async def test_a_guest_has_no_saved_address(market: Market) -> None:
    variant = await market.variant(await market.shop())
    guest, _ = await market.guest()
    await market.add(guest, variant)
    request = cart_service_pb2.QuoteOrderRequest(address_id=str(uuid4()))
    with pytest.raises(NotFound):
        await market.call(guest, market.carts.QuoteOrder, request)


async def test_old_guests_carts_are_swept_and_no_others(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    (old, token), (used, _) = await market.guest(), await market.guest()
    await market.add(buyer, variant)
    await market.add(old, variant)
    await market.quote(old)

    async def sweep() -> int:
        return await market.tx.run("test.sweep", lambda uow: sweep_guest_carts(uow, lifetime=LIFETIME))

    assert await sweep() == 0
    market.clock.ahead = timedelta(days=20)
    await market.add(used, variant)
    market.clock.ahead = LIFETIME + timedelta(hours=1)
    young, _ = await market.guest()
    assert await sweep() == 1
    with pytest.raises(GuestCartGone):
        await market.cart(old)
    with pytest.raises(NotFound):
        await market.merge(buyer, token)
    for kept in (buyer, used, young):
        await market.cart(kept)
    assert await market.value("SELECT count(*) FROM quotes") == 0


async def test_a_cart_that_somebody_holds_is_not_swept_beneath_them(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, _ = await market.guest()
    await market.add(guest, variant, 3)
    market.clock.ahead = LIFETIME + timedelta(hours=1)
    guest_cart_id = guest.guest_cart_id
    assert guest_cart_id is not None

    async def merge_and_sweep(uow: UnitOfWork) -> int:
        await merge_guest_cart(uow, buyer.known_user_id, guest_cart_id, MergeStrategy.SUM)
        return await market.tx.run("test.sweep", lambda other: sweep_guest_carts(other, lifetime=LIFETIME))

    assert await market.tx.run("test.merge", merge_and_sweep) == 0
    assert _held(await market.cart(buyer)) == {variant: 3}


class _Watched:
    """A connection on which something happens just before the guest's cart is deleted; without locks, when asked."""

    def __init__(self, connection: Connection, before_delete: Callable[[], Awaitable[None]], *, locks: bool) -> None:
        self._connection = connection
        self._before_delete = before_delete
        self._locks = locks

    async def fetch(self, statement: str, *arguments: object) -> list[Record]:
        return await self._connection.fetch(
            statement if self._locks else statement.replace("FOR UPDATE", ""), *arguments
        )

    async def execute(self, statement: str, *arguments: object) -> str:
        if statement.startswith("DELETE FROM carts"):
            await self._before_delete()
        return await self._connection.execute(statement, *arguments)


@pytest.mark.parametrize("locks", [True, False])
async def test_what_is_added_in_the_midst_of_a_merge_is_refused_and_without_the_locks_lost(
    market: Market, other: Market, locks: bool
) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, _ = await market.guest()
    guest_cart_id = guest.guest_cart_id
    assert guest_cart_id is not None
    await market.add(guest, variant, 1)
    await market.add(buyer, variant, 1)
    late: list[asyncio.Future[object]] = []

    async def add() -> None:
        late.append(asyncio.ensure_future(other.add(guest, variant, 4)))
        # It waits for the row, for as long as this transaction is open; or, without the locks, is done.
        await asyncio.wait(late, timeout=0.3 if locks else None)

    async def merge(uow: UnitOfWork) -> None:
        watched = UnitOfWork(cast(Connection, _Watched(uow.connection, add, locks=locks)), uow.now)
        await merge_guest_cart(watched, buyer.known_user_id, guest_cart_id, MergeStrategy.SUM)

    await market.tx.run("test.merge", merge)
    [outcome] = await asyncio.gather(*late, return_exceptions=True)
    # Without the locks it was acknowledged, and its pieces are nowhere.
    assert isinstance(outcome, GuestCartGone) == locks
    assert _held(await market.cart(buyer)) == {variant: 2}


async def test_an_account_that_has_ended_takes_no_cart_along(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    guest, token = await market.guest()
    await market.add(guest, variant)
    await market.quote(guest)
    await market.execute("UPDATE accounts SET state = 'DELETED' WHERE user_id = $1", buyer.user_id)
    with pytest.raises(NotFound):
        await market.merge(buyer, token)
    assert _held(await market.cart(guest)) == {variant: 1}
    assert await market.value("SELECT count(*) FROM quotes WHERE user_id IS NOT NULL") == 0
