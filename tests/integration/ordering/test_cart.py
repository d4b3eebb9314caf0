"""Carts on real Postgres: adds that sum up, limits, etags, problems and quotes."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from uuid import uuid4

import pytest
from marketd.auth.addresses import book
from marketd.cart.errors import AddressNotServiceable, CartEmpty
from marketd.cart.quotes.sweeps import KEEP_QUOTES, sweep_quotes
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import EtagMismatch, NotFound, ValidationFailed
from marketd.kernel.wire import to_address
from marketplace.cart.v1 import cart_pb2, cart_service_pb2

from tests.worlds.goods import HOME
from tests.worlds.ordering import Market, minor, stored


async def test_a_cart_that_never_held_anything_is_empty_and_stays_the_same(market: Market) -> None:
    buyer = await market.buyer()
    first, second = await market.cart(buyer), await market.cart(buyer)
    assert not first.items
    assert first.cart_id == second.cart_id != ""
    assert minor(first.subtotal) == 0


async def test_concurrent_adds_of_one_variant_sum_up(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    workers = [market, other]
    await asyncio.gather(*(workers[n % 2].add(buyer, variant, 2) for n in range(40)))
    cart = await market.cart(buyer)
    assert [item.quantity for item in cart.items] == [80]
    assert minor(cart.subtotal) == 80_000
    assert cart.total_quantity == 80


async def test_a_repeated_add_with_one_request_id_adds_once(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    request = cart_service_pb2.AddCartItemRequest(request_id=str(uuid4()), variant_id=str(variant), quantity=3)
    answers = await asyncio.gather(*(market.call(buyer, market.carts.AddCartItem, request) for _ in range(10)))
    assert len({stored(answer) for answer in answers}) == 1
    assert (await market.cart(buyer)).total_quantity == 3


async def test_a_line_holds_at_most_999_pieces_also_when_adds_race(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    results = await asyncio.gather(*(market.add(buyer, variant, 100) for _ in range(12)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ValidationFailed)]
    assert len(refused) == 3
    assert refused[0].fields[0].field == "quantity"
    assert (await market.cart(buyer)).total_quantity == 900


async def test_a_cart_holds_at_most_100_variants_also_when_adds_race(market: Market) -> None:
    buyer = await market.buyer()
    variants = await market.variants(await market.shop(), 104)
    for variant in variants[:98]:
        await market.add(buyer, variant)
    results = await asyncio.gather(*(market.add(buyer, variant) for variant in variants[98:]), return_exceptions=True)
    assert sum(isinstance(result, ValidationFailed) for result in results) == 4
    assert len((await market.cart(buyer)).items) == 100


async def test_what_is_not_for_sale_cannot_be_added(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    await market.execute("UPDATE products SET state = 'ARCHIVED'")
    for missing in (variant, uuid4()):
        with pytest.raises(NotFound):
            await market.add(buyer, missing)


async def test_update_is_absolute_and_honours_the_carts_etag(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    cart = await market.add(buyer, variant, 5)
    request = cart_service_pb2.UpdateCartItemRequest(
        item=cart_pb2.CartItem(item_id=cart.items[0].item_id, quantity=2), cart_etag=cart.etag
    )
    updated = (await market.call(buyer, market.carts.UpdateCartItem, request)).cart
    assert updated.items[0].quantity == 2
    assert updated.etag != cart.etag
    with pytest.raises(EtagMismatch) as refusal:
        await market.call(buyer, market.carts.UpdateCartItem, request)
    assert refusal.value.metadata["etag"] == updated.etag
    assert (await market.cart(buyer)).etag == updated.etag


async def test_lines_of_others_cannot_be_changed_or_removed(market: Market) -> None:
    owner, stranger = await market.buyer(), await market.buyer()
    variant = await market.variant(await market.shop())
    cart = await market.add(owner, variant, 5)
    await market.add(stranger, variant, 1)
    item_id = cart.items[0].item_id
    with pytest.raises(NotFound):
        await market.call(
            stranger,
            market.carts.UpdateCartItem,
            cart_service_pb2.UpdateCartItemRequest(item=cart_pb2.CartItem(item_id=item_id, quantity=1)),
        )
    with pytest.raises(NotFound):
        await market.call(
            stranger, market.carts.RemoveCartItem, cart_service_pb2.RemoveCartItemRequest(item_id=item_id)
        )
    assert (await market.cart(owner)).etag == cart.etag


async def test_lines_are_removed_and_carts_cleared(market: Market) -> None:
    buyer = await market.buyer()
    first, second, third = await market.variants(await market.shop(), 3)
    for variant in (first, second, third):
        cart = await market.add(buyer, variant)
    removed = await market.call(
        buyer, market.carts.RemoveCartItem, cart_service_pb2.RemoveCartItemRequest(item_id=cart.items[1].item_id)
    )
    assert [item.variant_id for item in removed.cart.items] == [str(first), str(third)]
    for _ in range(2):
        cleared = await market.call(buyer, market.carts.ClearCart, cart_service_pb2.ClearCartRequest())
        assert not cleared.cart.items


async def test_items_show_the_price_of_the_moment_and_what_is_in_the_way(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    dearer, scarce = await market.variant(shop), await market.variant(shop, stock=3)
    gone = await market.variant(shop)
    for variant in (dearer, scarce, gone):
        await market.add(buyer, variant, 5)
    await market.set_price(dearer, 1_200)
    await market.execute(
        "UPDATE products SET state = 'ARCHIVED' WHERE product_id IN"
        " (SELECT product_id FROM variants WHERE variant_id = $1)",
        gone,
    )
    items = {item.variant_id: item for item in (await market.cart(buyer)).items}
    [changed] = items[str(dearer)].problems
    assert (changed.kind, changed.blocking) == (cart_pb2.PROBLEM_KIND_PRICE_CHANGED, False)
    assert (minor(changed.previous_price), minor(changed.current_price)) == (1_000, 1_200)
    assert minor(items[str(dearer)].line_total) == 6_000
    [short] = items[str(scarce)].problems
    assert (short.kind, short.available_quantity) == (cart_pb2.PROBLEM_KIND_INSUFFICIENT_STOCK, 3)
    [missing] = items[str(gone)].problems
    assert (missing.kind, missing.blocking) == (cart_pb2.PROBLEM_KIND_VARIANT_UNAVAILABLE, True)
    # Who adds more of it has seen the new price.
    more = {item.variant_id: item for item in (await market.add(buyer, dearer)).items}[str(dearer)]
    assert (more.quantity, list(more.problems)) == (6, [])


async def test_a_quote_has_one_package_a_seller_and_adds_up(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    await market.add(buyer, await market.variant(one, price_minor=1_050), 2)
    await market.add(buyer, await market.variant(one, price_minor=99), 1)
    await market.add(buyer, await market.variant(two, price_minor=500), 3)
    begun = market.clock.now()
    quote = await market.quote(buyer)
    assert {package.seller_id for package in quote.packages} == {str(one.seller_id), str(two.seller_id)}
    assert minor(quote.subtotal) == 2_100 + 99 + 1_500
    assert minor(quote.delivery_fee) == 980
    assert minor(quote.total) == 3_699 + 980
    assert sum(minor(package.total) for package in quote.packages) == minor(quote.total)
    assert quote.quote_token
    lifetime = timedelta(minutes=15)
    assert begun + lifetime <= quote.expire_time.ToDatetime(UTC) <= market.clock.now() + lifetime
    assert quote.address.recipient == "Ada"


async def test_a_total_that_nobody_could_order_gets_no_token(market: Market) -> None:
    shop, buyer = await market.shop(), await market.buyer()
    dear = await market.variant(shop, price_minor=100_000_000_00)
    await market.add(buyer, dear)
    quote = await market.quote(buyer)
    assert not quote.quote_token, "the delivery fee goes over the limit"
    assert [problem.kind for problem in quote.problems] == [cart_pb2.PROBLEM_KIND_TOTAL_TOO_HIGH]
    await market.set_price(dear, 100_000_000_00 - 490)
    assert (await market.quote(buyer)).quote_token


async def test_blocking_problems_are_answered_without_a_token(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop, stock=1), 2)
    quote = await market.quote(buyer)
    assert [problem.kind for problem in quote.problems] == [cart_pb2.PROBLEM_KIND_INSUFFICIENT_STOCK]
    assert quote.quote_token == ""
    assert not quote.HasField("expire_time")
    await market.execute("UPDATE sellers SET state = 'SUSPENDED'")
    kinds = {problem.kind for problem in (await market.quote(buyer)).problems}
    assert cart_pb2.PROBLEM_KIND_SELLER_CLOSED in kinds


async def test_quotes_need_a_filled_cart_and_a_served_address(market: Market) -> None:
    buyer = await market.buyer()
    with pytest.raises(CartEmpty):
        await market.quote(buyer)
    await market.add(buyer, await market.variant(await market.shop()))
    market.quoter.serves = False
    with pytest.raises(AddressNotServiceable):
        await market.quote(buyer)
    with pytest.raises(NotFound):
        await market.call(buyer, market.carts.QuoteOrder, cart_service_pb2.QuoteOrderRequest(address_id=str(uuid4())))


async def test_a_saved_address_is_quoted_to_its_owner_and_to_nobody_else(market: Market) -> None:
    owner, other = await market.account(Role.BUYER), await market.account(Role.BUYER)
    saved = await market.tx.run(
        "test.address", lambda uow: book.create_address(uow, owner, book.NewAddress("Home", HOME, False))
    )
    variant = await market.variant(await market.shop())
    request = cart_service_pb2.QuoteOrderRequest(address_id=str(saved.address_id))
    for buyer in (owner, other):
        await market.add(buyer, variant)
    quote = await market.call(owner, market.carts.QuoteOrder, request)
    assert quote.address == to_address(HOME)
    assert quote.quote_token
    with pytest.raises(NotFound) as foreign:
        await market.call(other, market.carts.QuoteOrder, request)
    missing = str(uuid4())
    with pytest.raises(NotFound) as absent:
        await market.call(other, market.carts.QuoteOrder, cart_service_pb2.QuoteOrderRequest(address_id=missing))
    assert foreign.value.message.replace(request.address_id, missing) == absent.value.message
    # The order keeps the address as it was quoted.
    await market.tx.run("test.delete", lambda uow: book.delete_address(uow, owner, saved.address_id, ""))
    group = await market.place_quote(owner, quote)
    assert group.orders[0].address == to_address(HOME)


async def test_an_address_without_a_name_takes_the_accounts(market: Market) -> None:
    shop = await market.shop()
    buyer = shop.caller
    await market.add(buyer, await market.variant(shop))
    request = cart_service_pb2.QuoteOrderRequest()
    request.address.lines.append("Kastanienallee 9")
    request.address.city = "Berlin"
    quote = await market.call(buyer, market.carts.QuoteOrder, request)
    assert quote.address.recipient == "Kim Lee"
    assert quote.address.phone.startswith("+49")


async def test_old_quotes_are_swept(market: Market) -> None:
    buyer = await market.buyer()
    await market.add(buyer, await market.variant(await market.shop()))
    await market.quote(buyer)
    assert await market.tx.run("test.sweep", sweep_quotes) == 0
    market.clock.ahead = KEEP_QUOTES
    assert await market.tx.run("test.sweep", sweep_quotes) == 0, "it has ended, and stays for whoever asks"
    market.clock.ahead = KEEP_QUOTES + timedelta(hours=1)
    assert await market.tx.run("test.sweep", sweep_quotes) == 1
