"""Amounts that agree whatever happens while the provider takes the money, and the one bound of quotes and orders."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition, Refusal
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import MAX_UNITS
from marketd.order import service
from marketd.payment.attempts.confirm import STALE_AFTER
from marketd.payment.errors import NothingToRefund, PaymentActionRequired, PaymentDeclined, PaymentOver
from marketplace.cart.v1 import cart_pb2
from marketplace.order.v1 import order_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2

from tests.worlds.goods import Shop
from tests.worlds.order_ways import paid_order
from tests.worlds.ordering import Market, minor, parsed
from tests.worlds.providers import HeldProvider

FEE = 490


async def _placed(market: Market) -> tuple[Caller, Shop, order_pb2.OrderGroup]:
    buyer, shop = await market.buyer(), await market.shop()
    return buyer, shop, await market.place(buyer, (await market.variant(shop), 3))


async def _held(
    market: Market, method: str = "ok"
) -> tuple[Caller, order_pb2.OrderGroup, HeldProvider, Market, asyncio.Task[payment_pb2.Payment]]:
    """A group of one order of 3 pieces whose money the provider has taken without saying so yet."""
    buyer, _, group = await _placed(market)
    provider = HeldProvider(market.sandbox)
    slow = market.on(market.tx, provider)
    task = asyncio.create_task(slow.confirm(buyer, group.payment.payment_id, method))
    await provider.captured.wait()
    return buyer, group, provider, slow, task


async def test_a_part_cancelled_while_the_money_is_taken_comes_back_and_the_amount_is_what_was_taken(
    market: Market,
) -> None:
    buyer, group, provider, _, task = await _held(market)
    order = group.orders[0]
    fewer = await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    asked = await market.get_payment(buyer, group.payment.payment_id)
    assert minor(asked.amount) == minor(fewer.payable_amount) == 2_000 + FEE
    provider.go.set()
    paid = await task
    assert minor(paid.amount) == minor(paid.captured_amount) == 3_000 + FEE
    await market.run_jobs()
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert minor(payment.refunded_amount) == 1_000
    assert minor(payment.amount) == minor(payment.captured_amount) == 3_000 + FEE
    now = await market.get(buyer, order.order_id)
    assert (now.state, minor(now.payable_amount), minor(now.refunded_amount)) == (order_pb2.ORDER_STATE_PAID, 0, 0)
    assert minor(now.total) - minor(now.cancelled_amount) == 2_000 + FEE
    assert await market.violations() == []
    await market.refund(market.admin, payment.payment_id)
    whole = await market.get_payment(buyer, payment.payment_id)
    assert whole.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert await market.violations() == []


async def test_all_cancelled_while_the_money_is_taken_gives_all_of_it_back(market: Market) -> None:
    buyer, group, provider, _, task = await _held(market)
    order = group.orders[0]
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    over = await market.cancel(buyer, order.order_id)
    assert minor(over.cancelled_amount) == minor(over.total)
    provider.go.set()
    with pytest.raises(PaymentOver):
        await task
    await market.run_jobs()
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert minor(payment.amount) == minor(payment.captured_amount) == minor(payment.refunded_amount) == 3_000 + FEE
    assert payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert await market.violations() == []


async def test_money_that_came_too_late_and_could_not_go_back_is_given_back_by_an_admin_and_no_order_pays_for_it(
    market: Market,
) -> None:
    buyer, group, provider, slow, task = await _held(market)
    await market.cancel(buyer, group.orders[0].order_id)
    provider.refuses = True
    provider.go.set()
    with pytest.raises(PaymentOver):
        await task
    await slow.run_jobs()
    late = await market.get_payment(buyer, group.payment.payment_id)
    assert (minor(late.refunded_amount), late.refunds[0].state) == (0, payment_pb2.REFUND_STATE_FAILED)
    assert any("payments" in wrong for wrong in await market.violations())
    with pytest.raises(IllegalTransition):
        await market.refund(market.admin, late.payment_id, order_id=group.orders[0].order_id)
    provider.refuses = False
    back = await market.refund(market.admin, late.payment_id)
    assert minor(back.refund.amount) == 3_000 + FEE
    assert back.payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert await market.violations() == []
    assert minor((await market.get(buyer, group.orders[0].order_id)).refunded_amount) == 0


async def test_an_order_is_paid_back_out_of_the_payment_that_paid_for_it_and_out_of_none_that_came_too_late(
    market: Market,
) -> None:
    buyer, group, provider, slow, task = await _held(market)
    order, late_id = group.orders[0], group.payment.payment_id
    provider.refuses = True
    # So long after the first one was begun that nobody's call is still on its way.
    market.clock.ahead += STALE_AFTER + timedelta(seconds=1)
    request = payment_service_pb2.CreatePaymentRequest(request_id=str(new_id()), order_group_id=group.order_group_id)
    made: Any = await market.call(buyer, market.payments.CreatePayment, request)
    paid_id = parsed(made, payment_service_pb2.CreatePaymentResponse).payment.payment_id
    await slow.run_jobs()
    provider.go.set()
    with pytest.raises(PaymentOver):
        await task
    await market.confirm(buyer, paid_id)
    late = await market.get_payment(buyer, late_id)
    assert (minor(late.captured_amount), minor(late.refunded_amount)) == (3_000 + FEE, 0)
    assert [refund.state for refund in late.refunds] == [payment_pb2.REFUND_STATE_FAILED]
    for amount in (None, 1_000):
        with pytest.raises(NothingToRefund):
            await market.refund(market.admin, late_id, order_id=order.order_id, minor=amount)
    untouched = await market.get(buyer, order.order_id)
    assert (untouched.state, minor(untouched.refunded_amount)) == (order_pb2.ORDER_STATE_PAID, 0)
    await market.refund(market.admin, paid_id, order_id=order.order_id, minor=1_000)
    assert minor((await market.get(buyer, order.order_id)).refunded_amount) == 1_000
    back = await market.refund(market.admin, late_id)
    assert (minor(back.refund.amount), back.payment.state) == (3_000 + FEE, payment_pb2.PAYMENT_STATE_REFUNDED)
    assert minor((await market.get(buyer, order.order_id)).refunded_amount) == 1_000
    assert await market.violations() == []


@pytest.mark.parametrize("first", ["the order", "the group"])
async def test_what_was_taken_too_much_and_could_not_go_back_is_given_back_by_an_admin_with_the_group(
    market: Market, first: str
) -> None:
    buyer, group, provider, slow, task = await _held(market)
    order = group.orders[0]
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    provider.refuses = True
    provider.go.set()
    payment_id = (await task).payment_id
    await slow.run_jobs()
    provider.refuses = False
    kept = await market.get_payment(buyer, payment_id)
    assert (minor(kept.refunded_amount), kept.refunds[0].state) == (0, payment_pb2.REFUND_STATE_FAILED)
    assert any("payments" in wrong for wrong in await market.violations())
    if first == "the order":
        await market.refund(market.admin, payment_id, order_id=order.order_id)
    back = await market.refund(market.admin, payment_id)
    assert back.payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert minor(back.payment.refunded_amount) == 3_000 + FEE
    assert minor((await market.get(buyer, order.order_id)).refunded_amount) == 2_000 + FEE
    assert await market.violations() == []
    with pytest.raises(IllegalTransition):
        await market.refund(market.admin, payment_id)


async def test_a_part_whose_money_could_not_go_back_is_cancelled_once_and_paid_back_with_the_rest(
    market: Market,
) -> None:
    buyer, _, _, order = await paid_order(market, 3)
    provider = HeldProvider(market.sandbox)
    provider.refuses = True
    slow = market.on(market.tx, provider)
    await slow.cancel(buyer, order.order_id, (order.items[0].item_id, 2))
    await slow.run_jobs()
    provider.refuses = False
    over = await slow.cancel(buyer, order.order_id)
    await slow.run_jobs()
    assert minor(over.cancelled_amount) == minor(over.total)
    assert [minor(one.amount) for one in over.cancellations] == [2_000, 1_000 + FEE]
    assert minor((await market.get(buyer, order.order_id)).refunded_amount) == minor(over.total)
    assert await market.violations() == []


async def test_a_part_cancelled_before_an_action_is_done_and_after_a_decline(market: Market) -> None:
    buyer, _, group = await _placed(market)
    payment_id, order = group.payment.payment_id, group.orders[0]
    item = order.items[0].item_id
    with pytest.raises(PaymentDeclined):
        await market.confirm(buyer, payment_id, "decline")
    await market.cancel(buyer, order.order_id, (item, 1))
    declined = await market.get_payment(buyer, payment_id)
    assert (declined.state, minor(declined.amount)) == (payment_pb2.PAYMENT_STATE_DECLINED, 2_000 + FEE)
    with pytest.raises(PaymentActionRequired):
        await market.confirm(buyer, payment_id, "action")
    await market.cancel(buyer, order.order_id, (item, 1))
    assert minor((await market.get_payment(buyer, payment_id)).amount) == 1_000 + FEE
    key = await market.value("SELECT key FROM payment_attempts WHERE state = 'ACTION_REQUIRED'")
    await market.sandbox.complete_action(key)
    await market.run_jobs(ahead=timedelta(minutes=2))
    await market.run_jobs(ahead=timedelta(minutes=2))
    payment = await market.get_payment(buyer, payment_id)
    assert minor(payment.amount) == minor(payment.captured_amount) == 2_000 + FEE
    assert minor(payment.refunded_amount) == 1_000
    assert not payment.HasField("decline")
    assert await market.violations() == []


async def test_cancelling_parts_and_paying_at_once_keep_amounts_that_agree(market: Market, other: Market) -> None:
    dice = random.Random(11)  # noqa: S311 - a test's
    for _ in range(20):
        buyer, _, group = await _placed(market)
        order, payment_id = group.orders[0], group.payment.payment_id
        item = order.items[0].item_id
        moves = [
            market.cancel(buyer, order.order_id, (item, dice.choice([1, None]))),
            other.confirm(buyer, payment_id, dice.choice(["ok", "ok", "decline"])),
            other.confirm(buyer, payment_id),
        ]
        results = await asyncio.gather(*moves, return_exceptions=True)
        assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, Refusal)]
        await market.run_jobs()
        payment = await market.get_payment(buyer, payment_id)
        now = await market.get(buyer, order.order_id)
        captured = minor(payment.captured_amount)
        if captured:
            assert minor(payment.amount) == captured
            assert captured - minor(payment.refunded_amount) == minor(now.total) - minor(now.cancelled_amount)
        else:
            assert minor(payment.amount) == minor(now.payable_amount) or now.state == order_pb2.ORDER_STATE_CANCELLED
    await market.run_jobs(ahead=timedelta(minutes=5))
    assert await market.violations() == []


async def test_the_most_that_is_quoted_can_be_ordered_and_a_cent_more_is_no_quote(market: Market) -> None:
    most = MAX_UNITS * 100
    buyer, shop = await market.buyer(), await market.shop()
    dear = await market.variant(shop, price_minor=most // 10)
    rest = await market.variant(shop, price_minor=most // 10 - FEE)
    cent = await market.variant(shop, price_minor=1)
    await market.add(buyer, dear, 9)
    await market.add(buyer, rest, 1)
    quote = await market.quote(buyer)
    assert minor(quote.total) == most
    assert quote.quote_token
    await market.add(buyer, cent, 1)
    above = await market.quote(buyer)
    assert not above.quote_token
    assert cart_pb2.PROBLEM_KIND_TOTAL_TOO_HIGH in [problem.kind for problem in above.problems]
    group = await market.place_quote(buyer, quote)
    paid = await market.confirm(buyer, group.payment.payment_id)
    assert minor(paid.captured_amount) == most
    assert await market.violations() == []


async def test_what_costs_nothing_is_quoted_ordered_paid_and_cancelled(market: Market) -> None:
    market.quoter.fee_minor = 0
    buyer, shop = await market.buyer(), await market.shop()
    gift = await market.variant(shop, price_minor=0)
    for way in ("kept", "in part", "whole"):
        group = await market.place(buyer, (gift, 2))
        order = group.orders[0]
        assert minor(group.total) == 0
        assert minor((await market.confirm(buyer, group.payment.payment_id)).captured_amount) == 0
        assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_PAID
        if way == "in part":
            part = await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
            assert part.state == order_pb2.ORDER_STATE_PAID
        if way == "whole":
            assert (await market.cancel(buyer, order.order_id)).state == order_pb2.ORDER_STATE_CANCELLED
        else:
            await market.accept(shop, order.order_id)
            await market.ready(shop, order.order_id)
            for step in (service.out_for_delivery, service.delivered):
                await market.tx.run("t", partial(step, order_id=UUID(order.order_id)))
            # Nothing was paid and nothing is given back: whoever has it, has bought it.
            assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_DELIVERED
    assert await market.violations() == []


async def test_an_order_that_ended_by_a_refund_that_failed_keeps_its_money_until_an_admin_gives_it_back(
    market: Market,
) -> None:
    buyer, shop, group = await _placed(market)
    order, payment_id = group.orders[0], group.payment.payment_id
    await market.confirm(buyer, payment_id)
    provider = HeldProvider(market.sandbox)
    provider.refuses = True
    failed = await market.on(market.tx, provider).refund(shop.caller, payment_id, order_id=order.order_id)
    assert failed.refund.state == payment_pb2.REFUND_STATE_FAILED
    over = await market.get(buyer, order.order_id)
    assert (over.state, minor(over.refunded_amount)) == (order_pb2.ORDER_STATE_CANCELLED, 0)
    assert await market.violations() == []
    again = await market.get(market.admin, order.order_id)
    assert order_pb2.ORDER_ACTION_REFUND in again.allowed_actions
    await market.refund(market.admin, payment_id, order_id=order.order_id)
    back = await market.get(buyer, order.order_id)
    assert (back.state, minor(back.refunded_amount)) == (order_pb2.ORDER_STATE_CANCELLED, minor(order.total))
    assert await market.violations() == []
