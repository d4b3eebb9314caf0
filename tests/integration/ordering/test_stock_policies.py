"""Carts, quotes and orders of what is sold by another policy than while it is there."""

from __future__ import annotations

from uuid import UUID

import pytest
from marketd.inventory import service as inventory
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.model import StockPolicy
from marketd.kernel.db.uow import UnitOfWork
from marketd.order import service as orders
from marketd.order.model import CancellationActor, Goods
from marketplace.cart.v1 import cart_pb2

from tests.worlds.ordering import Market
from tests.worlds.stocks import counts, untold

TRACKED, UNTRACKED, CONTINUE = StockPolicy.TRACKED, StockPolicy.UNTRACKED, StockPolicy.CONTINUE


async def _set_policy(market: Market, variant: UUID, policy: StockPolicy) -> None:
    async def work(uow: UnitOfWork) -> None:
        await inventory.lock_stocks(uow, [variant])
        await inventory.set_policies(uow, {variant: policy})

    await market.tx.run("test.policy", work)


@pytest.mark.parametrize("policy", [UNTRACKED, CONTINUE])
async def test_what_is_not_tracked_goes_from_the_cart_to_the_buyer_though_none_is_there(
    market: Market, policy: StockPolicy
) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop, stock=1)
    await _set_policy(market, variant, policy)
    cart = await market.add(buyer, variant, 4)
    assert not cart.items[0].problems
    group = await market.place_quote(buyer, await market.quote(buyer))
    order = group.orders[0]
    await market.confirm(buyer, group.payment.payment_id)
    assert await counts(market.tx, variant) == (1, 4, 3)
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    assert await counts(market.tx, variant) == (1, 3, 2)
    await market.accept(shop, order.order_id)
    await market.ready(shop, order.order_id)
    await market.tx.run("t", lambda uow: orders.out_for_delivery(uow, UUID(order.order_id)))
    assert await counts(market.tx, variant) == (-2, 0, 2)
    assert await market.violations() == []
    back = {"actor": CancellationActor.SYSTEM, "note": "", "goods": Goods.RETURNED}
    await market.tx.run("t", lambda uow: orders.undeliverable(uow, UUID(order.order_id), **back))  # type: ignore[arg-type]
    assert await counts(market.tx, variant) == (1, 0, 0)
    assert await market.violations() == []
    assert await market.tx.read(lambda unit: untold(unit.connection, [variant])) == []


async def test_what_becomes_tracked_behind_a_quote_is_refused_when_it_is_short(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop, stock=1)
    await _set_policy(market, variant, CONTINUE)
    await market.add(buyer, variant, 2)
    quote = await market.quote(buyer)
    await _set_policy(market, variant, TRACKED)
    with pytest.raises(InsufficientStock):
        await market.place_quote(buyer, quote)
    [problem] = (await market.cart(buyer)).items[0].problems
    assert (problem.kind, problem.available_quantity) == (cart_pb2.PROBLEM_KIND_INSUFFICIENT_STOCK, 1)


async def test_what_is_owed_after_a_change_of_policy_is_still_delivered_and_no_more_is_sold(market: Market) -> None:
    buyer, other, shop = await market.buyer(), await market.buyer(), await market.shop()
    variant = await market.variant(shop, stock=0)
    await _set_policy(market, variant, UNTRACKED)
    group = await market.paid(buyer, (variant, 2))
    await _set_policy(market, variant, TRACKED)
    [problem] = (await market.add(other, variant, 1)).items[0].problems
    assert (problem.kind, problem.available_quantity) == (cart_pb2.PROBLEM_KIND_INSUFFICIENT_STOCK, 0)
    order_id = group.orders[0].order_id
    await market.accept(shop, order_id)
    await market.ready(shop, order_id)
    await market.tx.run("t", lambda uow: orders.out_for_delivery(uow, UUID(order_id)))
    assert await counts(market.tx, variant) == (-2, 0, 2)
    assert await market.violations() == []
