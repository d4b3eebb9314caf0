"""What an account leaves behind when it is deleted, and orders that are placed while an account or a shop ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from marketd.auth.accounts import block
from marketd.auth.letters import letters_of
from marketd.cart.owner import CartOwner
from marketd.cart.quotes import repository as quotes
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.order import follow_accounts
from marketd.order import invariants as order_invariants
from marketd.order.service import holds_seller
from marketd.seller import invariants as seller_invariants
from marketd.seller import life, sellers
from marketd.seller.values import NewSeller, SellerMove

from tests.worlds.ends import Ends
from tests.worlds.goods import SHOP, Shop
from tests.worlds.order_ways import paid_order
from tests.worlds.ordering import Market
from tests.worlds.things import new_shop


@pytest.fixture
def ends(market: Market) -> Ends:
    """What ends shops and accounts."""
    return Ends(market)


async def _reason(work: Awaitable[object]) -> str:
    try:
        await work
    except Refusal as refusal:
        return refusal.reason.value
    return "OK"


async def test_a_buyer_with_an_open_order_cannot_go_and_is_told_which(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    order = (await market.place(buyer, (variant, 1))).orders[0]
    with pytest.raises(Refusal, match=order.order_number) as refused:
        await ends.delete(buyer)
    assert refused.value.reason == "IN_USE"
    await market.cancel(buyer, order.order_id)
    await ends.delete(buyer)


async def test_an_owner_goes_when_the_shop_is_closed_or_rejected(ends: Ends) -> None:
    shop = await ends.market.shop()
    with pytest.raises(Refusal, match=f"seller {shop.seller_id}"):
        await ends.delete(shop.caller)
    await ends.move("Close", shop, caller=shop.caller)
    await ends.delete(shop.caller)
    applicant = await ends.market.account(Role.BUYER)
    await ends.market.call(applicant, ends.sellers.CreateSeller, new_shop())
    assert await _reason(ends.delete(applicant)) == "IN_USE"
    applied = await ends.market.value("SELECT seller_id FROM sellers WHERE owner_user_id = $1", applicant.known_user_id)
    await ends.move("Reject", Shop(applied, applicant), "no papers")
    await ends.delete(applicant)


async def test_the_shop_of_a_deleted_account_forgets_its_door_and_whom_to_ask(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    await ends.move("Close", shop, caller=shop.caller)
    await ends.delete(shop.caller)
    row = await market.value("SELECT to_jsonb(s)::text FROM sellers s WHERE seller_id = $1", shop.seller_id)
    kept = json.loads(row)
    assert (kept["contact"], kept["pickup_address"], kept["state"]) == ({}, None, "CLOSED")
    assert kept["owner_user_id"] == str(shop.caller.user_id)
    entries = await market.value(
        "SELECT string_agg(changes::text, '') FROM audit_entries WHERE resource_id = $1", str(shop.seller_id)
    )
    assert SHOP.lines[0] not in (entries or "")
    assert "Kim" not in (entries or "")
    assert await _reason(ends.move("Reinstate", shop)) == "ILLEGAL_TRANSITION"


async def test_a_cart_and_its_quotes_go_with_the_account(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, other, variant = await market.buyer(), await market.buyer(), await market.variant(shop)
    for one in (buyer, other):
        await market.add(one, variant)
        await market.quote(one)
    await ends.delete(buyer)
    for table in ("carts", "quotes"):
        kept = await market.value(f"SELECT array_agg(user_id) FROM {table}")
        assert kept == [other.user_id]


async def test_a_worker_that_does_not_know_yet_keeps_nothing_of_a_deleted_account(ends: Ends) -> None:
    """Tokens are known for up to two seconds after the account is gone, and a call may wait for its end."""
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    await market.add(buyer, variant)
    await ends.delete(buyer)
    assert await _reason(market.add(buyer, variant)) == "CONCURRENT_UPDATE"
    assert await _reason(market.cart(buyer)) == "CONCURRENT_UPDATE"
    for table in ("carts", "quotes"):
        assert await market.value(f"SELECT count(*) FROM {table}") == 0


async def test_no_quote_is_kept_for_an_account_that_is_deleted_while_it_asks(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    await market.add(buyer, variant)
    owner = CartOwner.account(buyer.known_user_id)

    async def late(uow: UnitOfWork) -> bool:
        return await quotes.store(uow.connection, new_id(), owner, "{}", uow.now, uow.now)

    assert await market.tx.run("test.store", late)
    await ends.delete(buyer)
    assert not await market.tx.run("test.store", late)
    assert await market.value("SELECT count(*) FROM quotes") == 0


async def test_stored_orders_forget_who_the_buyer_was_but_for_the_city(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, other, variant = await market.buyer(), await market.buyer(), await market.variant(shop)
    for one in (buyer, buyer, buyer, other):
        order = (await market.place(one, (variant, 1))).orders[0]
        await market.cancel(one, order.order_id, note="We changed our minds.")
    await ends.delete(buyer)
    monkeypatch.setattr(follow_accounts, "_BATCH", 2)
    await ends.follow()
    notes = "SELECT count(*) FROM orders WHERE buyer_id = $1 AND cancellations::text LIKE '%changed our minds%'"
    assert [await market.value(notes, one.user_id) for one in (buyer, other)] == [0, 1]
    assert SHOP.lines[0] in await market.value("SELECT string_agg(pickup::text, '') FROM orders")
    addresses = "SELECT array_agg(address::text) FROM orders WHERE buyer_id = $1"
    for text in await market.value(addresses, buyer.user_id):
        assert json.loads(text) == {"city": "Berlin", "postal_code": "10435", "region": "", "region_code": "DE"}
    assert "Kastanienallee 9" in (await market.value(addresses, other.user_id))[0]
    seen = await market.get(market.admin, order.order_id)
    assert seen.address.recipient == "Ada"
    mine = await market.value("SELECT order_id::text FROM orders WHERE buyer_id = $1 LIMIT 1", buyer.user_id)
    shown = (await market.get(market.admin, mine)).address
    assert (shown.city, shown.recipient, shown.phone, list(shown.lines)) == ("Berlin", "", "", [])
    assert not shown.HasField("point")
    await ends.move("Close", shop, caller=shop.caller)
    await ends.delete(shop.caller)
    await ends.follow()
    doors = await market.value("SELECT string_agg(pickup::text, '') FROM orders")
    assert SHOP.lines[0] not in doors
    assert SHOP.city in doors


Work = Callable[[UnitOfWork], Awaitable[Any]]


async def _closing(ends: Ends, shop: Shop) -> Work:
    move = SellerMove(shop.seller_id, "moving away", "")
    return lambda uow: life.close_seller(uow, shop.caller, move, (holds_seller,))


async def _suspending(ends: Ends, shop: Shop) -> Work:
    return lambda uow: life.suspend_seller(uow, ends.market.admin, SellerMove(shop.seller_id, "late", ""))


@pytest.mark.parametrize("make", [_closing, _suspending])
async def test_an_order_that_comes_first_is_seen_by_the_shop_that_ends(
    ends: Ends, make: Callable[[Ends, Shop], Awaitable[Work]]
) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    await market.add(buyer, variant)
    async with ends.held(await ends.placing(buyer)) as placed:
        ending = asyncio.create_task(_reason(ends.tx.run("test.end", await make(ends, shop))))
        await ends.waits_for_a_lock(ending)
        await placed.commit()
        assert await ending == ("IN_USE" if make is _closing else "OK")


@pytest.mark.parametrize("make", [_closing, _suspending])
async def test_a_shop_that_ends_first_gets_no_order(ends: Ends, make: Callable[[Ends, Shop], Awaitable[Work]]) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    await market.add(buyer, variant)
    place = await ends.placing(buyer)
    async with ends.held(await make(ends, shop)) as ended:
        placing = asyncio.create_task(_reason(ends.tx.run("test.place", place)))
        await ends.waits_for_a_lock(placing)
        await ended.commit()
        assert await placing == "SELLER_CLOSED"
    assert await market.reserved(variant) == 0


async def test_an_order_that_comes_first_keeps_the_account_from_being_deleted(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    await market.add(buyer, variant)
    async with ends.held(await ends.placing(buyer)) as placed:
        deleting = asyncio.create_task(_reason(ends.delete(buyer)))
        await ends.waits_for_a_lock(deleting)
        await placed.commit()
        assert await deleting == "IN_USE"


@pytest.mark.parametrize("end", ["delete", "block"])
async def test_an_account_that_ends_first_orders_nothing(ends: Ends, end: str) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    await market.add(buyer, variant)
    place = await ends.placing(buyer)
    letters = letters_of(market.built.parts.settings)
    barring = block.Barring(buyer.known_user_id, "fraud")
    work: Work = (
        ends.deleting(buyer) if end == "delete" else lambda uow: block.block_user(uow, market.admin, barring, letters)
    )
    async with ends.held(work) as ended:
        placing = asyncio.create_task(_reason(ends.tx.run("test.place", place)))
        await ends.waits_for_a_lock(placing)
        await ended.commit()
        assert await placing == "QUOTE_EXPIRED"
    assert await market.value("SELECT count(*) FROM orders") == 0
    assert await market.reserved(variant) == 0


async def test_nobody_applies_with_an_account_that_ends_meanwhile(ends: Ends) -> None:
    applicant = await ends.market.account(Role.BUYER)
    template = await ends.market.shop()
    seller = await ends.tx.read(lambda unit: sellers.get_seller(unit, ends.market.admin, template.seller_id))
    new = NewSeller(
        f"shop-{new_id().hex}",
        "Shop",
        "",
        SHOP,
        seller.contact,
        seller.prep_duration,
        "UTC",
        (),
    )
    async with ends.held(ends.deleting(applicant)) as deleted:
        applying = asyncio.create_task(
            _reason(ends.tx.run("test.apply", lambda uow: sellers.create_seller(uow, applicant, new)))
        )
        await ends.waits_for_a_lock(applying)
        await deleted.commit()
        assert await applying == "NOT_FOUND"


@pytest.mark.parametrize(
    ("planted", "wrong"),
    [
        ("UPDATE accounts SET state = 'DELETED' WHERE user_id = $1", "PAID, and its buyer is deleted"),
        ("UPDATE accounts SET state = 'BLOCKED' WHERE user_id = $2", "sells, and its owner is BLOCKED"),
        ("DELETE FROM account_roles WHERE user_id = $2 AND role = 'SELLER'", "its owner is ACTIVE without the role"),
    ],
)
async def test_whom_a_former_version_left_with_something_to_do_is_found(
    market: Market, planted: str, wrong: str
) -> None:
    buyer, shop, _, _ = await paid_order(market)
    looked_at = [*order_invariants.INVARIANTS, *seller_invariants.INVARIANTS]

    async def found() -> list[str]:
        return await market.tx.read(lambda unit: violations(unit.connection, looked_at))

    assert await found() == []
    both = (buyer.known_user_id, shop.caller.known_user_id)
    used = both[:1] if "$1" in planted else both[1:]
    await market.tx.run("test.plant", lambda uow: uow.connection.execute(planted.replace("$2", "$1"), *used))
    (only,) = await found()
    assert wrong in only
