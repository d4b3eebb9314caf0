"""Taxes from the category to the receipt: the nearest rate counts, orders keep that of their quote, sums agree."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest
from marketd.catalog import categories
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.tax import tax_in
from marketplace.order.v1 import order_pb2, order_service_pb2, receipt_pb2

from tests.worlds.ordering import Market, minor
from tests.worlds.parts import make_settings


async def category(market: Market, rate: int | None = None, below: UUID | None = None) -> UUID:
    """A new category with this rate."""
    new = categories.NewCategory(f"C{new_id().hex}", "", below, "", 0, rate)
    made = await market.tx.run("test.category", lambda uow: categories.create_category(uow, market.admin, new))
    return made.category_id


async def put_into(market: Market, variant_id: UUID, category_id: UUID | None) -> None:
    await market.execute(
        "UPDATE products SET category_id = $2"
        " WHERE product_id = (SELECT product_id FROM variants WHERE variant_id = $1)",
        variant_id,
        category_id,
    )


async def receipt(market: Market, caller: Caller, order_id: str) -> receipt_pb2.Receipt:
    request = order_service_pb2.GetReceiptRequest(order_id=order_id)
    return (await market.call(caller, market.orders.GetReceipt, request)).receipt


def taxing(market: Market, percent: str = "19") -> Market:
    """The same marketplace with this rate where no category says one."""
    return Market(market.tx, market.clock, settings=make_settings(tax_rate=Decimal(percent)))


async def test_the_rate_of_the_nearest_category_that_has_one_counts(market: Market) -> None:
    market = taxing(market)
    buyer, shop = await market.buyer(), await market.shop()
    food = await category(market, 70_000)
    fruit = await category(market, below=food)
    exotic = await category(market, below=fruit)
    drinks = await category(market, 190_000, below=fruit)
    free = await category(market, 0, below=drinks)
    plain = await category(market)
    expected = {}
    for place, rate in ((food, "7"), (exotic, "7"), (drinks, "19"), (free, "0"), (plain, "19"), (None, "19")):
        variant = await market.variant(shop, price_minor=999)
        await put_into(market, variant, place)
        await market.add(buyer, variant, 3)
        expected[str(variant)] = rate
    quote = await market.quote(buyer)
    (order,) = (await market.place_quote(buyer, quote)).orders
    assert {item.variant_id: item.tax_rate.value for item in order.items} == expected
    taxes = {"7": tax_in(2_997, 70_000), "19": tax_in(2_997, 190_000), "0": 0}
    assert all(minor(item.tax_amount) == taxes[item.tax_rate.value] for item in order.items)
    assert (order.delivery_tax_rate.value, minor(order.delivery_tax_amount)) == ("19", 78)
    assert minor(order.tax_amount) == 2 * taxes["7"] + 3 * taxes["19"] + 78
    assert quote.packages[0].tax_amount == quote.tax_amount == order.tax_amount
    assert await market.violations() == []


async def test_without_a_rate_anywhere_nothing_is_tax(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    (order,) = (await market.place(buyer, (await market.variant(shop), 1))).orders
    assert order.items[0].tax_rate.value == order.delivery_tax_rate.value == "0"
    assert minor(order.tax_amount) == 0


async def test_the_order_keeps_the_rate_of_its_quote(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    food = await category(market, 70_000)
    variant = await market.variant(shop, price_minor=10_700)
    await put_into(market, variant, food)
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    await market.execute("UPDATE categories SET tax_rate = 190000 WHERE category_id = $1", food)
    (order,) = (await market.place_quote(buyer, quote)).orders
    assert (order.items[0].tax_rate.value, minor(order.tax_amount)) == ("7", 700)
    assert quote.tax_amount == order.tax_amount


async def test_a_receipt_is_for_buyer_shop_and_admin_once_it_is_paid(market: Market) -> None:
    market = taxing(market)
    buyer, shop, stranger = await market.buyer(), await market.shop(), await market.shop()
    group = await market.place(buyer, (await market.variant(shop, price_minor=1_190), 2))
    order_id = group.orders[0].order_id
    with pytest.raises(IllegalTransition) as refused:
        await receipt(market, buyer, order_id)
    assert "once it is" in refused.value.message
    await market.confirm(buyer, group.payment.payment_id)
    shown = await receipt(market, buyer, order_id)
    assert shown == await receipt(market, shop.caller, order_id) == await receipt(market, market.admin, order_id)
    for other in (stranger.caller, await market.buyer()):
        with pytest.raises(NotFound):
            await receipt(market, other, order_id)
    with pytest.raises(NotFound):
        await receipt(market, buyer, str(new_id()))
    assert (minor(shown.total), minor(shown.tax_amount)) == (2_380 + 490, 380 + 78)
    assert shown.tax_amount == group.orders[0].tax_amount
    assert shown.text.startswith(f"Receipt for order {group.orders[0].order_number}\n")


async def test_what_is_cancelled_leaves_the_receipt_and_its_tax(market: Market) -> None:
    market = taxing(market)
    buyer, shop = await market.buyer(), await market.shop()
    lamp, chair = await market.variant(shop, price_minor=1_190), await market.variant(shop, price_minor=555)
    group = await market.paid(buyer, (lamp, 3), (chair, 1))
    (order,) = group.orders
    lamps = next(item for item in order.items if item.variant_id == str(lamp))
    await market.cancel(buyer, order.order_id, (lamps.item_id, 2))
    await market.run_jobs()
    shown = await receipt(market, buyer, order.order_id)
    now = await market.get(buyer, order.order_id)
    assert [(line.quantity, line.cancelled_quantity) for line in shown.lines] == [(1, 2), (1, 0)]
    assert minor(shown.total) == 1_190 + 555 + 490
    assert minor(shown.tax_amount) == 190 + tax_in(555, 190_000) + 78
    assert shown.cancelled_amount == now.cancelled_amount
    assert minor(shown.refunded_amount) == 2 * 1_190
    assert minor(shown.paid_amount) == minor(order.total)

    await market.cancel(buyer, order.order_id)
    await market.run_jobs()
    over = await receipt(market, buyer, order.order_id)
    assert (minor(over.total), minor(over.delivery_fee), list(over.taxes)) == (0, 0, [])
    assert over.refunded_amount == over.paid_amount == over.cancelled_amount == order.total
    assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_CANCELLED
    assert (await market.get(buyer, order.order_id)).tax_amount == order.tax_amount, "what was frozen stays"
    assert await market.violations() == []


async def test_an_order_that_was_never_paid_has_no_receipt_for_ever(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    (order,) = (await market.place(buyer, (await market.variant(shop), 1))).orders
    await market.cancel(buyer, order.order_id)
    with pytest.raises(IllegalTransition) as refused:
        await receipt(market, buyer, order.order_id)
    assert "never paid" in refused.value.message


async def test_a_wrong_tax_is_found(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.place(buyer, (await market.variant(shop), 1))
    await market.execute("UPDATE order_items SET tax_amount_minor = 1")
    assert any("tax of 1" in each for each in await market.violations())
