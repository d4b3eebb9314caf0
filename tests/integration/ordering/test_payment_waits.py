"""Providers that never answer, and another payment in place of one: whom that keeps waiting, and what it may not do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import NoReturn
from uuid import uuid4

import pytest
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition, NotFound, RequestInProgress
from marketd.kernel.values.money import Money
from marketd.payment.errors import PaymentActionRequired
from marketd.payment.ports import Charge, ProviderUnreachable
from marketd.payment.providers.sandbox import SandboxProvider
from marketplace.payment.v1 import payment_pb2, payment_service_pb2

from tests.worlds.ordering import Market, parsed
from tests.worlds.providers import SandboxedProvider

NEVER = 30
"""What hangs for so long hangs."""


class MuteProvider(SandboxedProvider):
    """One that is there and never says anything."""

    def __init__(self, sandbox: SandboxProvider) -> None:
        super().__init__(sandbox)
        self.asked = asyncio.Event()
        self.cancels = 0

    async def confirm(self, charge: Charge) -> NoReturn:
        """Never an answer."""
        self.asked.set()
        await _silence()

    async def cancel(self, charge: Charge) -> NoReturn:
        """Never an answer."""
        self.cancels += 1
        await _silence()

    async def refund(self, key: str, charge_key: str, amount: Money) -> NoReturn:
        """Never an answer."""
        await _silence()


class AwayProvider(SandboxedProvider):
    """One that cannot be reached."""

    async def refund(self, key: str, charge_key: str, amount: Money) -> NoReturn:
        """Not to be had."""
        raise ProviderUnreachable


async def _silence() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def _create(market: Market, caller: Caller, order_group_id: str) -> payment_pb2.Payment:
    request = payment_service_pb2.CreatePaymentRequest(request_id=str(uuid4()), order_group_id=order_group_id)
    answer = await market.call(caller, market.payments.CreatePayment, request)
    return parsed(answer, payment_service_pb2.CreatePaymentResponse).payment


async def test_a_provider_that_never_answers_keeps_nobody_waiting(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    asked, stuck = await market.place(buyer, (variant, 1)), await market.place(buyer, (variant, 1))
    paid = await market.paid(buyer, (variant, 1))
    with pytest.raises(PaymentActionRequired):
        await market.confirm(buyer, stuck.payment.payment_id, "action")
    provider = MuteProvider(market.sandbox)
    mute = market.on(market.tx, provider)

    async def refused() -> None:
        # The attempt before is to be settled first, and the provider does not say that it is.
        with pytest.raises(RequestInProgress):
            await mute.confirm(buyer, stuck.payment.payment_id, "ok")

    async with asyncio.timeout(NEVER):
        pending, refund, _ = await asyncio.gather(
            mute.confirm(buyer, asked.payment.payment_id), mute.refund(market.admin, paid.payment.payment_id), refused()
        )
    assert provider.cancels == 1, "a call is over before it could be asked twice"
    assert pending.state == payment_pb2.PAYMENT_STATE_PENDING
    assert refund.refund.state == payment_pb2.REFUND_STATE_PENDING
    # Once the provider is back, what was begun is done by itself, each once.
    await market.run_jobs(ahead=timedelta(seconds=20))
    assert (await market.get_payment(buyer, asked.payment.payment_id)).state == payment_pb2.PAYMENT_STATE_CAPTURED
    back = await market.get_payment(buyer, paid.payment.payment_id)
    assert back.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert len(back.refunds) == 1
    assert await market.violations() == []


async def test_a_refund_that_finds_no_provider_is_given_back_later(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.paid(buyer, (variant, 1))
    away = market.on(market.tx, AwayProvider(market.sandbox))
    pending = await away.refund(market.admin, group.payment.payment_id)
    assert pending.refund.state == payment_pb2.REFUND_STATE_PENDING
    await market.run_jobs(ahead=timedelta(seconds=20))
    back = await market.get_payment(buyer, group.payment.payment_id)
    assert [refund.state for refund in back.refunds] == [payment_pb2.REFUND_STATE_SUCCEEDED]
    assert back.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert await market.violations() == []


async def test_another_payment_is_made_by_the_buyer_while_there_is_time_and_nobody_is_asking_the_provider(
    market: Market,
) -> None:
    buyer, stranger = await market.buyer(), await market.buyer()
    group = await market.place(buyer, (await market.variant(await market.shop()), 1))
    first = group.payment
    for caller, group_id in ((stranger, group.order_group_id), (buyer, str(uuid4()))):
        with pytest.raises(NotFound):
            await _create(market, caller, group_id)
    with pytest.raises(PaymentActionRequired):
        await market.confirm(buyer, first.payment_id, "action")
    second = await _create(market, buyer, group.order_group_id)
    assert second.payment_id != first.payment_id
    assert (second.buyer_id, second.expire_time) == (first.buyer_id, first.expire_time), "it gives no more time"
    assert (await market.get_payment(buyer, first.payment_id)).state == payment_pb2.PAYMENT_STATE_CANCELLED
    # Nobody can do any more what the first one asked for.
    await market.run_jobs()
    await market.sandbox.complete_action(f"order:{group.order_group_id}:attempt:1")
    assert await market.value("SELECT state FROM sandbox_charges") == "CANCELLED"
    provider = MuteProvider(market.sandbox)
    calling = asyncio.create_task(market.on(market.tx, provider).confirm(buyer, second.payment_id))
    async with asyncio.timeout(NEVER):
        await provider.asked.wait()
    with pytest.raises(RequestInProgress):
        await _create(market, buyer, group.order_group_id)
    assert (await calling).state == payment_pb2.PAYMENT_STATE_PENDING
    market.clock.ahead = timedelta(minutes=31)
    with pytest.raises(IllegalTransition):
        await _create(market, buyer, group.order_group_id)
