"""What becomes of carts, quotes, orders and stock when a product or a variant is deleted or archived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from marketd.cart.errors import QuoteExpired
from marketd.catalog import life
from marketd.catalog.variants import change
from marketd.kernel.call.refusals import NotFound
from marketplace.cart.v1 import cart_pb2
from marketplace.order.v1 import order_pb2

from tests.worlds.goods import Shop
from tests.worlds.order_ways import deliver, order_on_its_way, paid_order, stock_of
from tests.worlds.ordering import Market

End = Callable[[Market, Shop, UUID], Awaitable[object]]


async def _product(market: Market, variant: UUID) -> UUID:
    found: UUID = await market.value("SELECT product_id FROM variants WHERE variant_id = $1", variant)
    return found


async def _archive(market: Market, shop: Shop, variant: UUID) -> object:
    product_id = await _product(market, variant)
    return await market.tx.run("t", lambda uow: life.archive_product(uow, shop.caller, product_id))


async def _delete(market: Market, shop: Shop, variant: UUID) -> object:
    product_id = await _product(market, variant)
    work = lambda uow: life.delete_product(uow, shop.caller, product_id, "", allow_missing=False)  # noqa: E731
    return await market.tx.run("t", work)


async def _delete_variant(market: Market, shop: Shop, variant: UUID) -> object:
    work = lambda uow: change.delete_variant(uow, shop.caller, variant, "", allow_missing=False)  # noqa: E731
    return await market.tx.run("t", work)


ENDS = [_archive, _delete, _delete_variant]


@pytest.mark.parametrize("end", ENDS)
async def test_carts_say_what_is_gone_and_quotes_with_it_are_refused(market: Market, end: End) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variant, _ = await market.variants(shop, 2)
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    await end(market, shop, variant)
    [item] = (await market.cart(buyer)).items
    [problem] = item.problems
    assert problem.kind == cart_pb2.PROBLEM_KIND_VARIANT_UNAVAILABLE
    assert problem.message
    with pytest.raises(QuoteExpired):
        await market.place_quote(buyer, quote)
    assert not (await market.quote(buyer)).quote_token
    with pytest.raises(NotFound):
        await market.add(await market.buyer(), variant)
    assert await market.reserved(variant) == 0


@pytest.mark.parametrize("end", ENDS)
async def test_open_orders_go_on_without_what_they_were_made_of(market: Market, end: End) -> None:
    buyer, shop, variant, order = await order_on_its_way(market, 2)
    await market.execute("UPDATE products SET state = 'DRAFT', publish_time = NULL")
    await end(market, shop, variant)
    await deliver(market, order.order_id)
    now = await market.get(buyer, order.order_id)
    assert (now.state, now.items[0].title) == (order_pb2.ORDER_STATE_DELIVERED, order.items[0].title)
    assert await stock_of(market, variant) == (98, 0)
    assert await market.violations() == []


@pytest.mark.parametrize("end", ENDS)
async def test_an_order_of_what_is_gone_is_cancelled_and_its_pieces_come_back(market: Market, end: End) -> None:
    buyer, shop, variant, order = await paid_order(market, 2)
    await market.execute("UPDATE products SET state = 'DRAFT', publish_time = NULL")
    await end(market, shop, variant)
    await market.cancel(buyer, order.order_id)
    await market.run_jobs()
    now = await market.get(buyer, order.order_id)
    assert (now.state, now.refunded_amount) == (order_pb2.ORDER_STATE_CANCELLED, order.total)
    assert await stock_of(market, variant) == (100, 0)
    assert await market.violations() == []
