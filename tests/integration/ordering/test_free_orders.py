"""Money that is on its way, or may still set out, when an order comes to cost nothing; on real Postgres."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from marketd.kernel.call.caller import Caller
from marketd.payment.errors import PaymentActionRequired, PaymentOver
from marketplace.order.v1 import order_pb2
from marketplace.payment.v1 import payment_pb2
from marketplace.promotion.v1 import promo_code_pb2

from tests.worlds.codes import Codes
from tests.worlds.ordering import Market, minor
from tests.worlds.providers import HeldProvider


@pytest.fixture
def codes(market: Market) -> Codes:
    """The promo codes of the marketplace."""
    return Codes(market)


async def _half_free(market: Market, codes: Codes) -> tuple[Caller, order_pb2.OrderGroup, order_pb2.Order]:
    """A buyer's unpaid group of two orders, and the one of them that costs something."""
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    gift = await codes.off("100", scope=promo_code_pb2.PromoCodeScope(seller_ids=[str(one.seller_id)]))
    free = await codes.free_delivery()
    lines = [(await market.variant(one), 1), (await market.variant(two), 1)]
    group = await codes.placed(buyer, lines, gift, free, is_paid=False)
    return buyer, group, next(order for order in group.orders if order.seller_id == str(two.seller_id))


async def test_money_on_its_way_when_nothing_is_to_be_paid_any_more_goes_back(market: Market, codes: Codes) -> None:
    buyer, group, dear = await _half_free(market, codes)
    provider = HeldProvider(market.sandbox)
    slow = market.on(market.tx, provider)
    task = asyncio.create_task(slow.confirm(buyer, group.payment.payment_id))
    await provider.captured.wait()
    await market.cancel(buyer, dear.order_id)
    await market.run_jobs()
    provider.go.set()
    with pytest.raises(PaymentOver):
        await task
    await market.run_jobs()
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert minor(payment.captured_amount) == minor(payment.refunded_amount) == 1_000
    assert await market.violations() == []


async def test_an_action_page_that_is_open_when_nothing_is_to_be_paid_any_more_takes_nothing(
    market: Market, codes: Codes
) -> None:
    buyer, group, dear = await _half_free(market, codes)
    with pytest.raises(PaymentActionRequired):
        await market.confirm(buyer, group.payment.payment_id, "action")
    await market.cancel(buyer, dear.order_id)
    await market.run_jobs()
    await market.sandbox.complete_action(await market.value("SELECT key FROM payment_attempts"))
    assert await market.value("SELECT state FROM payment_attempts") == "CANCELLED"
    await market.run_jobs(ahead=timedelta(minutes=5))
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert (payment.state, minor(payment.captured_amount)) == (payment_pb2.PAYMENT_STATE_CAPTURED, 0)
    assert await market.violations() == []
