"""What is paid for counts as sold of its product, and what is taken back does not; popularity follows for 30 days."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import partial
from uuid import UUID

from marketd.catalog.search import invariants
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.uow import UnitOfWork
from marketd.order import service

from tests.worlds.built import Built
from tests.worlds.ordering import Market
from tests.worlds.search_index import document, settle


async def _sold(market: Market, variant_id: UUID) -> tuple[int, int]:
    """How many pieces of a variant's product count as sold, and how popular it is."""
    await market.built.hand_on_events()
    await settle(market.tx)
    product_id = await market.value("SELECT product_id FROM variants WHERE variant_id = $1", variant_id)
    found = await document(market.tx, product_id)
    return found["sold_30d"], found["popularity"]


async def test_paid_pieces_count_until_they_are_cancelled_rejected_or_paid_back(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp, chair = await market.variant(shop), await market.variant(shop)
    unpaid = await market.place(buyer, (lamp, 5))
    assert await _sold(market, lamp) == (0, 0)
    await market.cancel(buyer, unpaid.orders[0].order_id)
    assert await _sold(market, lamp) == (0, 0), "what was never paid for is not taken back"
    order = (await market.paid(buyer, (lamp, 9), (chair, 2))).orders[0]
    assert (await _sold(market, lamp), await _sold(market, chair)) == ((9, 17), (2, 8))
    item = next(item for item in order.items if item.variant_id == str(lamp))
    await market.cancel(buyer, order.order_id, (item.item_id, 4))
    assert (await _sold(market, lamp), await _sold(market, chair)) == ((5, 14), (2, 8))
    await market.cancel(buyer, order.order_id)
    assert (await _sold(market, lamp), await _sold(market, chair)) == ((0, 0), (0, 0))
    rejected = (await market.paid(buyer, (lamp, 3))).orders[0]
    assert (await _sold(market, lamp))[0] == 3
    await market.reject(shop, rejected.order_id)
    assert (await _sold(market, lamp))[0] == 0
    broken = (await market.paid(buyer, (lamp, 3))).orders[0]
    await market.accept(shop, broken.order_id)
    await market.ready(shop, broken.order_id)
    for step in (service.out_for_delivery, service.delivered):
        await market.tx.run("t", partial(step, order_id=UUID(broken.order_id)))
    await market.refund(shop.caller, broken.payment_id, order_id=broken.order_id, minor=1_000)
    assert (await _sold(market, lamp))[0] == 3, "a part of the money says nothing about pieces"
    await market.refund(shop.caller, broken.payment_id, order_id=broken.order_id)
    assert (await _sold(market, lamp))[0] == 0
    assert await market.tx.read(lambda unit: violations(unit.connection, invariants.INVARIANTS)) == []


async def test_a_part_that_is_cancelled_before_the_payment_is_never_counted(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp = await market.variant(shop)
    group = await market.place(buyer, (lamp, 5))
    order = group.orders[0]
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 2))
    await market.confirm(buyer, group.payment.payment_id)
    assert (await _sold(market, lamp))[0] == 3


async def test_pieces_count_on_the_day_of_their_payment_and_are_taken_back_of_that_day(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp = await market.variant(shop)
    now = market.clock.now()
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    market.clock.ahead += midnight - now - timedelta(minutes=10)
    group = await market.place(buyer, (lamp, 5))
    market.clock.ahead += timedelta(minutes=20)
    await market.confirm(buyer, group.payment.payment_id)
    assert (await _sold(market, lamp))[0] == 5
    assert await market.value("SELECT day FROM search_sales") == midnight.date()
    market.clock.ahead += timedelta(days=1)
    await market.cancel(buyer, group.orders[0].order_id)
    assert (await _sold(market, lamp))[0] == 0


async def test_sales_count_for_thirty_days(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp = await market.variant(shop)
    await market.paid(buyer, (lamp, 7))
    assert (await _sold(market, lamp))[0] == 7

    aging = Built(market.built.parts, "catalog").sweep("search.age")

    async def age(days: int) -> int:
        async def work(uow: UnitOfWork) -> int:
            uow.now += timedelta(days=days)
            return await aging(uow)

        return await market.tx.run("test.age", work)

    assert await age(29) == 0
    assert (await _sold(market, lamp))[0] == 7
    assert await age(30) == 1
    assert await _sold(market, lamp) == (0, 0)


async def test_what_the_buyer_had_and_got_all_money_back_for_does_not_count(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    song = await market.variant(shop)
    await market.execute("UPDATE variants SET requires_shipping = false WHERE variant_id = $1", song)
    group = await market.paid(buyer, (song, 4))
    order_id = group.orders[0].order_id
    await market.accept(shop, order_id)
    await market.ready(shop, order_id)
    await market.refund(shop.caller, group.payment.payment_id, order_id=order_id, minor=100)
    await market.run_jobs()
    assert (await _sold(market, song))[0] == 4, "a part of the money says nothing about pieces"
    await market.refund(shop.caller, group.payment.payment_id, order_id=order_id)
    await market.run_jobs()
    assert (await _sold(market, song))[0] == 0
