"""Promo codes in quotes and orders on real Postgres: frozen shares, limits inside PlaceOrder, and uses that go back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from marketd.cart.errors import QuoteExpired
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import IllegalTransition, Refusal
from marketd.order import service as orders
from marketd.order.errors import PriceChanged
from marketd.order.model import CancellationActor, Goods
from marketd.promotion.errors import PromoExhausted, PromoExpired
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2
from marketplace.promotion.v1 import promo_code_pb2

from tests.worlds.codes import Codes, amounts
from tests.worlds.goods import Shop
from tests.worlds.ordering import Market, minor, money
from tests.worlds.promos import percent, window

FEE = 490
PLATFORM, SELLER = promo_code_pb2.PROMO_CODE_FUNDING_PLATFORM, promo_code_pb2.PROMO_CODE_FUNDING_SELLER


@pytest.fixture
def codes(market: Market) -> Codes:
    """The promo codes of the marketplace."""
    return Codes(market)


async def test_a_quote_and_its_orders_say_what_each_code_takes_off_and_who_pays_it(
    market: Market, codes: Codes
) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    lamp, vase = await market.variant(one, price_minor=1_001), await market.variant(one, price_minor=333)
    chair = await market.variant(two, price_minor=5_000)
    tenth, own, free = await codes.off("10"), await codes.of_shop(one, "50"), await codes.free_delivery()
    for variant, quantity in ((lamp, 1), (vase, 1), (chair, 2)):
        await market.add(buyer, variant, quantity)
    for code in (free, tenth, own):
        cart = await codes.apply(buyer, code)
    # 10 % of 11,334 is 1,133.4, shared by largest remainder; then half of the rest of the first shop's lines.
    assert [(each.code, minor(each.discount_amount), each.free_delivery) for each in cart.promo_codes] == [
        (free, 0, True),
        (tenth, 1_133, False),
        (own, 601, False),
    ]
    quote = await market.quote(buyer)
    assert amounts(quote.promotions) == [(tenth, 1_133, 0), (own, 601, 0), (free, 0, 980)]
    assert [each.funded_by for each in quote.promotions] == [PLATFORM, SELLER, PLATFORM]
    by_shop = {package.seller_id: package for package in quote.packages}
    first, second = by_shop[str(one.seller_id)], by_shop[str(two.seller_id)]
    assert amounts(first.promotions) == [(tenth, 133, 0), (own, 601, 0), (free, 0, 490)]
    assert amounts(second.promotions) == [(tenth, 1_000, 0), (free, 0, 490)]
    assert (minor(first.subtotal), minor(first.discount_amount), minor(first.total)) == (1_334, 734, 600)
    assert (minor(first.delivery_fee), minor(first.delivery_discount_amount)) == (490, 490)
    assert (minor(quote.discount_amount), minor(quote.delivery_discount_amount)) == (1_734, 980)
    assert minor(quote.total) == minor(cart.total) == 600 + 9_000
    assert sum(minor(each.amount) for each in quote.discounts) == 1_734 + 980
    group = await market.place_quote(buyer, quote)
    assert (minor(group.total), minor(group.payment.amount)) == (9_600, 9_600)
    placed = {order.seller_id: order for order in group.orders}
    order = placed[str(one.seller_id)]
    assert amounts(order.promotions) == amounts(first.promotions)
    assert list(order.promo_codes) == [tenth, own, free]
    assert (minor(order.total), minor(order.delivery_discount_amount)) == (600, 490)
    assert sorted(minor(item.discount_amount) for item in order.items) == [183, 551]
    assert minor(order.delivery_tax_amount) == 0, "what is not charged is not taxed"
    assert amounts(placed[str(two.seller_id)].promotions) == [(tenth, 1_000, 0), (free, 0, 490)]
    assert order == await market.get(buyer, order.order_id)
    assert [await codes.used(code) for code in (tenth, own, free)] == [1, 1, 1]
    await market.confirm(buyer, group.payment.payment_id)
    receipt = (
        await market.call(buyer, market.orders.GetReceipt, order_service_pb2.GetReceiptRequest(order_id=order.order_id))
    ).receipt
    assert amounts(receipt.promotions) == [(tenth, 133, 0), (own, 601, 0), (free, 0, 490)]
    assert (minor(receipt.total), minor(receipt.delivery_discount_amount)) == (600, 490)
    assert f"Discount ({tenth}, {own})" in receipt.text
    assert f"Discount on delivery ({free})" in receipt.text
    assert await market.violations() == []


class Step(NamedTuple):
    """A cancellation: so many pieces of lines, what it takes off, and what each code still takes off after it."""

    pieces: tuple[int, ...]
    amount: int
    standing: tuple[int, ...]
    left_to_pay: int


async def test_cancelled_pieces_go_without_their_share_of_the_discount_and_the_rest_keeps_its_own(
    market: Market, codes: Codes
) -> None:
    """3 × 10.01 and 2 × 2.50: 10 % (3.50) and then 1.00 off are shared as 3.00 + 0.50 and 0.86 + 0.14."""
    buyer, shop = await market.buyer(), await market.shop()
    lamp, vase = await market.variant(shop, price_minor=1_001), await market.variant(shop, price_minor=250)
    tenth, euro = await codes.off("10", min_subtotal=money(3_000)), await codes.less(100)
    group = await codes.placed(buyer, [(lamp, 3), (vase, 2)], tenth, euro)
    (order,) = group.orders
    items = {item.variant_id: item for item in order.items}
    lines = [items[str(lamp)], items[str(vase)]]
    assert [minor(item.discount_amount) for item in lines] == [386, 64]
    assert amounts(order.promotions) == [(tenth, 350, 0), (euro, 100, 0)]
    assert minor(order.total) == 3_503 - 450 + FEE
    steps = (
        # One of three lamps: 386 // 3 = 128 of its discount goes with it.
        Step((1, 0), 1_001 - 128, (250, 72), 3_503 - 450 + FEE - 873),
        # Below the minimum of the first code from here on: what is left keeps its discount.
        Step((0, 1), 250 - 32, (225, 65), 2_670 - 218),
        Step((2, 0), 2_002 - 258, (25, 7), 2_452 - 1_744),
        # The last piece takes the delivery along, and with it the order ends.
        Step((0, 1), 250 - 32 + FEE, (0, 0), 0),
    )
    paid = minor(order.total)
    for step in steps:
        wanted = [(item.item_id, count) for item, count in zip(lines, step.pieces, strict=True) if count]
        order = await market.cancel(buyer, order.order_id, *wanted)
        assert minor(order.cancellations[-1].amount) == step.amount
        assert [minor(each.discount_amount) for each in order.promotions] == list(step.standing)
        assert minor(order.total) - minor(order.cancelled_amount) == step.left_to_pay
        assert await codes.used(tenth) == (1 if step.left_to_pay else 0)
        assert await market.violations() == []
    await market.run_jobs()
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert minor(payment.refunded_amount) == paid == minor(payment.captured_amount)
    assert order.state == order_pb2.ORDER_STATE_CANCELLED


End = Callable[[Market, Caller, Shop, order_pb2.OrderGroup], Awaitable[object]]


async def _cancel(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    await market.cancel(buyer, group.orders[0].order_id)


async def _cancel_by_parts(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    for item in group.orders[0].items:
        await market.cancel(buyer, group.orders[0].order_id, (item.item_id, None))


async def _reject(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    await market.reject(shop, group.orders[0].order_id)


async def _wait_for_shop(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    await market.run_jobs(ahead=timedelta(days=2))


async def _refund_group(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    await market.refund(market.admin, group.payment.payment_id)


async def _refund_order(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    await market.refund(shop.caller, group.payment.payment_id, order_id=group.orders[0].order_id)


async def _on_its_way(market: Market, shop: Shop, group: order_pb2.OrderGroup) -> UUID:
    order_id = UUID(group.orders[0].order_id)
    await market.accept(shop, str(order_id))
    await market.ready(shop, str(order_id))
    courier, delivery = await market.account(Role.COURIER), uuid4()
    await market.tx.run("t", lambda uow: orders.delivery_made(uow, order_id, delivery))
    await market.tx.run("t", lambda uow: orders.delivery_assigned(uow, order_id, courier.known_user_id, delivery))
    await market.tx.run("t", lambda uow: orders.out_for_delivery(uow, order_id))
    return order_id


async def _fail_delivery(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    order_id = await _on_its_way(market, shop, group)
    await market.tx.run(
        "t",
        lambda uow: orders.undeliverable(uow, order_id, actor=CancellationActor.SYSTEM, note="", goods=Goods.RETURNED),
    )


async def _refund_on_its_way(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    order_id = await _on_its_way(market, shop, group)
    await market.refund(market.admin, group.payment.payment_id)
    await market.tx.run("t", lambda uow: orders.delivered(uow, order_id))


async def _refund_after_delivery(market: Market, buyer: Caller, shop: Shop, group: order_pb2.OrderGroup) -> None:
    order_id = await _on_its_way(market, shop, group)
    await market.tx.run("t", lambda uow: orders.delivered(uow, order_id))
    await market.refund(market.admin, group.payment.payment_id)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (_cancel, order_pb2.ORDER_STATE_CANCELLED),
        (_cancel_by_parts, order_pb2.ORDER_STATE_CANCELLED),
        (_reject, order_pb2.ORDER_STATE_REJECTED),
        (_wait_for_shop, order_pb2.ORDER_STATE_CANCELLED),
        (_refund_group, order_pb2.ORDER_STATE_CANCELLED),
        (_refund_order, order_pb2.ORDER_STATE_CANCELLED),
        (_fail_delivery, order_pb2.ORDER_STATE_CANCELLED),
        (_refund_on_its_way, order_pb2.ORDER_STATE_REFUNDED),
        (_refund_after_delivery, order_pb2.ORDER_STATE_REFUNDED),
    ],
)
async def test_each_end_of_a_paid_order_gives_its_code_back_once(
    market: Market, codes: Codes, end: End, state: order_pb2.OrderState.ValueType
) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp, vase = await market.variant(shop), await market.variant(shop)
    code = await codes.off(usage_limit=1, per_user_limit=1)
    group = await codes.placed(buyer, [(lamp, 2), (vase, 1)], code)
    assert await codes.used(code) == 1
    await end(market, buyer, shop, group)
    assert await codes.used(code) == 0
    await market.run_jobs()
    order = await market.get(buyer, group.orders[0].order_id)
    assert order.state == state
    assert await codes.used(code) == 0
    assert await market.violations() == []
    # It can be used again, and the second use is not given back by the end of the first order.
    await codes.placed(buyer, [(lamp, 1)], code)
    await market.run_jobs()
    assert await codes.used(code) == 1


async def test_an_unpaid_order_that_expires_or_is_cancelled_gives_its_code_back(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    code = await codes.off()
    unpaid = await codes.placed(buyer, [(lamp, 1)], code, is_paid=False)
    await market.cancel(buyer, unpaid.orders[0].order_id)
    assert await codes.used(code) == 0
    late = await codes.placed(buyer, [(lamp, 1)], code, is_paid=False)
    assert await codes.used(code) == 1
    await market.run_jobs(ahead=timedelta(days=1))
    assert (await market.get(buyer, late.orders[0].order_id)).state == order_pb2.ORDER_STATE_EXPIRED
    assert await codes.used(code) == 0
    assert amounts((await market.get(buyer, late.orders[0].order_id)).promotions) == [(code, 0, 0)]
    assert await market.violations() == []


async def test_a_code_goes_back_when_the_last_order_of_the_group_that_holds_it_has_ended(
    market: Market, codes: Codes
) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    all_over, first_only = await codes.off("10"), await codes.of_shop(one, "10")
    group = await codes.placed(
        buyer, [(await market.variant(one), 1), (await market.variant(two), 1)], all_over, first_only
    )
    ids = {order.seller_id: order.order_id for order in group.orders}
    await market.cancel(buyer, ids[str(one.seller_id)])
    assert [await codes.used(code) for code in (all_over, first_only)] == [1, 0]
    await market.reject(two, ids[str(two.seller_id)])
    assert await codes.used(all_over) == 0
    assert await market.violations() == []


async def test_two_orders_that_end_at_once_give_their_common_code_back_once(
    market: Market, codes: Codes, other: Market
) -> None:
    for _ in range(3):
        buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
        code = await codes.off("10")
        group = await codes.placed(buyer, [(await market.variant(one), 1), (await market.variant(two), 1)], code)
        await asyncio.gather(
            market.cancel(buyer, group.orders[0].order_id), other.cancel(buyer, group.orders[1].order_id)
        )
        assert await codes.used(code) == 0
    assert await market.violations() == []


async def test_an_order_of_which_nothing_is_to_be_paid_is_paid_at_once(market: Market, codes: Codes) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp = await market.variant(shop)
    gift, free = await codes.off("100"), await codes.free_delivery()
    group = await codes.placed(buyer, [(lamp, 2)], gift, free)
    (order,) = group.orders
    assert (minor(group.total), order.state) == (0, order_pb2.ORDER_STATE_PAID)
    assert order.HasField("accept_expire_time")
    assert (group.payment.state, minor(group.payment.captured_amount)) == (payment_pb2.PAYMENT_STATE_CAPTURED, 0)
    assert order == await market.get(buyer, order.order_id)
    paid = await market.confirm(buyer, group.payment.payment_id)
    assert paid == await market.get_payment(buyer, group.payment.payment_id), "a client that confirms hears that it is"
    with pytest.raises(IllegalTransition):
        await market.refund(market.admin, group.payment.payment_id)
    fewer = await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    assert (fewer.state, minor(fewer.cancelled_amount)) == (order_pb2.ORDER_STATE_PAID, 0)
    assert amounts(fewer.promotions) == [(gift, 1_000, 0), (free, 0, FEE)]
    await market.accept(shop, order.order_id)
    assert [await codes.used(code) for code in (gift, free)] == [1, 1]
    await market.cancel(buyer, order.order_id)
    assert [await codes.used(code) for code in (gift, free)] == [0, 0]
    await market.run_jobs(ahead=timedelta(days=1))
    assert await market.reserved(lamp) == 0
    assert await market.violations() == []


async def test_what_is_left_of_an_unpaid_group_and_costs_nothing_is_paid_without_anybody(
    market: Market, codes: Codes
) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    gift = await codes.off("100", scope=promo_code_pb2.PromoCodeScope(seller_ids=[str(one.seller_id)]))
    free = await codes.free_delivery()
    lines = [(await market.variant(one), 1), (await market.variant(two), 1)]
    for confirms in (False, True):
        group = await codes.placed(buyer, lines, gift, free, is_paid=False)
        by_shop = {order.seller_id: order for order in group.orders}
        assert [minor(by_shop[str(shop.seller_id)].total) for shop in (one, two)] == [0, 1_000]
        assert {order.state for order in group.orders} == {order_pb2.ORDER_STATE_PENDING_PAYMENT}
        await market.cancel(buyer, by_shop[str(two.seller_id)].order_id)
        if confirms:
            paid = await market.confirm(buyer, group.payment.payment_id)
            assert paid.state == payment_pb2.PAYMENT_STATE_CAPTURED
        await market.run_jobs()
        order = await market.get(buyer, by_shop[str(one.seller_id)].order_id)
        assert (order.state, order.HasField("accept_expire_time")) == (order_pb2.ORDER_STATE_PAID, True)
        assert await market.violations() == []
        await market.cancel(buyer, order.order_id)


async def test_what_changed_about_a_code_since_the_quote_is_told_and_nothing_is_used(
    market: Market, codes: Codes
) -> None:
    shop = await market.shop()
    lamp = await market.variant(shop)
    now = market.clock.now()

    async def change(code: promo_code_pb2.PromoCode) -> None:
        await codes.update(market.admin, code.promo_code_id, "percent", percent=percent("20"))

    async def disable(code: promo_code_pb2.PromoCode) -> None:
        await codes.disable(market.admin, code.promo_code_id)

    async def use_up(code: promo_code_pb2.PromoCode) -> None:
        await codes.placed(await market.buyer(), [(lamp, 1)], code.code)

    async def let_end(code: promo_code_pb2.PromoCode) -> None:
        market.clock.ahead += timedelta(minutes=3)

    cases: list[tuple[dict[str, Any], Callable[[promo_code_pb2.PromoCode], Awaitable[None]], type[Refusal]]] = [
        ({}, change, QuoteExpired),
        ({}, disable, QuoteExpired),
        ({"usage_limit": 1}, use_up, PromoExhausted),
        ({"window": window(None, now + timedelta(minutes=2))}, let_end, PromoExpired),
    ]
    for fields, meanwhile, refusal in cases:
        code = await codes.create(**fields)
        buyer = await market.buyer()
        await market.add(buyer, lamp)
        await codes.apply(buyer, code.code)
        quote = await market.quote(buyer)
        before = await codes.used(code.code)
        await meanwhile(code)
        used = await codes.used(code.code)
        with pytest.raises(refusal):
            await market.place_quote(buyer, quote)
        assert await codes.used(code.code) == used >= before
        assert len((await market.cart(buyer)).promo_codes) == 1, "the buyer sees it with its problem, or with new terms"
    assert await market.violations() == []


async def test_a_price_that_changed_is_told_with_what_the_code_takes_off_of_the_new_one(
    market: Market, codes: Codes
) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    code = await codes.off("50", min_subtotal=money(1_500))
    await market.add(buyer, lamp, 2)
    await codes.apply(buyer, code)
    quote = await market.quote(buyer)
    assert minor(quote.total) == 1_000 + FEE
    with pytest.raises(PriceChanged) as wrong:
        await market.place_quote(buyer, quote, expected=money(2_000 + FEE))
    assert wrong.value.metadata["actual"] == "14.90 EUR", "the total is the one with the discount"
    for price, actual in ((2_000, "24.90 EUR"), (700, "18.90 EUR")):
        await market.set_price(lamp, price)
        with pytest.raises(PriceChanged) as changed:
            await market.place_quote(buyer, quote)
        assert changed.value.metadata["actual"] == actual, "also where the code does not apply any more"
    await market.set_price(lamp, 2_000)
    again = await market.quote(buyer)
    assert minor((await market.place_quote(buyer, again)).total) == 2_000 + FEE
    assert await codes.used(code) == 1


async def test_of_two_first_orders_at_once_one_is_the_first(market: Market, codes: Codes, other: Market) -> None:
    lamp = await market.variant(await market.shop())
    code = await codes.off(first_order_only=True)
    for turn in range(3):
        buyer = await market.buyer()
        await market.add(buyer, lamp)
        await codes.apply(buyer, code)
        quotes = [await market.quote(buyer) for _ in range(2)]
        found = await asyncio.gather(
            market.place_quote(buyer, quotes[0]),
            market.place_quote(buyer, quotes[1], orders=other.orders),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in found) == ["OrderGroup", "PromoNotApplicable"]
        assert await codes.used(code) == turn + 1
        # An order that came to nothing does not count.
        first = next(each for each in found if isinstance(each, order_pb2.OrderGroup))
        await market.cancel(buyer, first.orders[0].order_id)
        await codes.placed(buyer, [(lamp, 1)], code)
        later = await codes.placed(buyer, [(lamp, 1)], code)
        assert (minor(later.orders[0].discount_amount), await codes.used(code)) == (0, turn + 1)
    assert await market.violations() == []


async def test_a_repeat_of_an_order_with_a_code_uses_it_once(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    code, request_id = await codes.off(), str(uuid4())
    await market.add(buyer, lamp)
    await codes.apply(buyer, code)
    quote = await market.quote(buyer)
    first = await market.place_quote(buyer, quote, request_id=request_id)
    assert await market.place_quote(buyer, quote, request_id=request_id) == first
    assert await codes.used(code) == 1
    with pytest.raises(QuoteExpired):
        await market.place_quote(buyer, quote)
    assert await codes.used(code) == 1
