"""Payments on the sandbox: captured once, whatever dies in between; refunds never above what was taken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import (
    IllegalTransition,
    NotFound,
    RequestIdReused,
    RequestInProgress,
    ValidationFailed,
)
from marketd.kernel.values.money import Money
from marketd.payment.errors import PaymentActionRequired, PaymentDeclined, PaymentOver
from marketd.payment.model import AttemptState
from marketd.payment.ports import Charge, ChargeOutcome, ProviderUnreachable
from marketd.payment.providers.sandbox import SandboxProvider
from marketplace.order.v1 import order_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2

from tests.worlds.calls import caller_of
from tests.worlds.ordering import Market, minor, stored
from tests.worlds.providers import SandboxedProvider

CAPTURED = payment_pb2.PAYMENT_STATE_CAPTURED


class Died(Exception):
    """The process is gone here."""


class DyingProvider(SandboxedProvider):
    """The sandbox, where our side dies right before or after its effect for a while."""

    def __init__(self, sandbox: SandboxProvider, *, before: bool = False) -> None:
        super().__init__(sandbox)
        self.before = before
        self.deaths = 1

    async def confirm(self, charge: Charge) -> ChargeOutcome:
        """Die around the capture."""
        if self.deaths and self.before:
            self.deaths -= 1
            raise Died
        outcome = await self.sandbox.confirm(charge)
        if self.deaths:
            self.deaths -= 1
            raise Died
        return outcome

    async def refund(self, key: str, charge_key: str, amount: Money) -> bool:
        """Die around the refund."""
        if self.deaths and self.before:
            self.deaths -= 1
            raise Died
        answer = await self.sandbox.refund(key, charge_key, amount)
        if self.deaths:
            self.deaths -= 1
            raise Died
        return answer


class SilentProvider(DyingProvider):
    """The sandbox behind a line that is down for a while, after its effect."""

    async def confirm(self, charge: Charge) -> ChargeOutcome:
        """Take effect and say nothing."""
        outcome = await self.sandbox.confirm(charge)
        if self.deaths:
            self.deaths -= 1
            raise ProviderUnreachable
        return outcome


async def _charges(market: Market) -> list[tuple[str, int, int]]:
    rows = await market.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT state, captured_amount_minor, refunded_amount_minor FROM sandbox_charges"
        )
    )
    return [tuple(row) for row in rows]


async def test_a_confirmed_payment_is_captured_and_its_orders_are_paid(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    group = await market.place(buyer, (await market.variant(one), 2), (await market.variant(two), 1))
    payment = await market.confirm(buyer, group.payment.payment_id)
    assert payment.state == CAPTURED
    assert minor(payment.captured_amount) == minor(group.total)
    for order in group.orders:
        assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_PAID
    key = await market.value("SELECT key FROM payment_attempts")
    assert key == f"order:{group.order_group_id}:attempt:1"
    assert await market.violations() == []


async def test_fifty_confirms_with_one_request_id_capture_once(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    request = payment_service_pb2.ConfirmPaymentRequest(
        request_id=str(uuid4()),
        payment_id=group.payment.payment_id,
        payment_method=payment_pb2.PaymentMethod(sandbox="ok"),
    )
    answers = await asyncio.gather(
        *(market.call(buyer, (market, other)[n % 2].payments.ConfirmPayment, request) for n in range(50))
    )
    assert len({stored(answer) for answer in answers}) == 1
    assert len(await _charges(market)) == 1
    request.payment_method.sandbox = "decline"
    with pytest.raises(RequestIdReused):
        await market.call(buyer, market.payments.ConfirmPayment, request)


async def test_confirms_with_different_request_ids_capture_once(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    results = await asyncio.gather(
        *((market, other)[n % 2].confirm(buyer, group.payment.payment_id) for n in range(20)), return_exceptions=True
    )
    # Whoever asks while another pays is told to wait, and whoever asks afterwards that it is paid.
    paid = [result for result in results if isinstance(result, payment_pb2.Payment)]
    assert paid
    assert all(result == paid[0] for result in paid)
    assert all(isinstance(result, payment_pb2.Payment | RequestInProgress) for result in results)
    assert [state for state, _, _ in await _charges(market)] == ["CAPTURED"]
    assert await market.violations() == []


async def test_a_decline_leaves_the_orders_payable(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    payment_id, request_id = group.payment.payment_id, str(uuid4())
    for _ in range(2):
        with pytest.raises(PaymentDeclined) as refusal:
            await market.confirm(buyer, payment_id, "decline", request_id)
        assert refusal.value.metadata == {"paymentId": payment_id}
        assert "card_declined" in refusal.value.preconditions[0].description
    declined = await market.get_payment(buyer, payment_id)
    assert declined.state == payment_pb2.PAYMENT_STATE_DECLINED
    assert declined.decline.code == "card_declined"
    assert (await market.get(buyer, group.orders[0].order_id)).state == order_pb2.ORDER_STATE_PENDING_PAYMENT
    assert (await market.confirm(buyer, payment_id)).state == CAPTURED


async def test_another_payment_method_under_the_id_of_an_attempt_without_an_answer_is_refused(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group, other = await market.place(buyer, (variant, 1)), await market.place(buyer, (variant, 1))
    payment_id, declined, killed = group.payment.payment_id, str(uuid4()), str(uuid4())
    # Neither a refusal nor a death leaves an answer behind that the id is known by; the attempt is what is left.
    with pytest.raises(PaymentDeclined):
        await market.confirm(buyer, payment_id, "decline", declined)
    with pytest.raises(Died):
        await market.on(market.tx, DyingProvider(market.sandbox, before=True)).confirm(buyer, payment_id, "ok", killed)
    for request_id, method in ((declined, "ok"), (killed, "decline")):
        with pytest.raises(RequestIdReused):
            await market.confirm(buyer, payment_id, method, request_id)
        with pytest.raises(RequestIdReused):
            await market.confirm(buyer, other.payment.payment_id, "ok", request_id)
    assert [state for state, _, _ in await _charges(market)] == ["DECLINED"]
    assert (await market.confirm(buyer, payment_id, "ok", killed)).state == CAPTURED
    assert await market.violations() == []


async def test_another_amount_under_the_id_of_a_refund_without_an_answer_is_refused(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.paid(buyer, (variant, 1))
    payment_id, request_id, order_id = group.payment.payment_id, str(uuid4()), group.orders[0].order_id
    with pytest.raises(Died):
        await market.on(market.tx, DyingProvider(market.sandbox, before=True)).refund(
            market.admin, payment_id, order_id=order_id, minor=300, request_id=request_id
        )
    with pytest.raises(RequestIdReused):
        await market.refund(market.admin, payment_id, order_id=order_id, minor=301, request_id=request_id)
    assert await _charges(market) == [("CAPTURED", minor(group.total), 0)]
    again = await market.refund(market.admin, payment_id, order_id=order_id, minor=300, request_id=request_id)
    assert minor(again.refund.amount) == 300
    assert await _charges(market) == [("CAPTURED", minor(group.total), 300)]
    assert await market.violations() == []


async def test_an_action_is_asked_for_and_found_done(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    payment_id, request_id = group.payment.payment_id, str(uuid4())
    with pytest.raises(PaymentActionRequired) as refusal:
        await market.confirm(buyer, payment_id, "action", request_id)
    waiting = await market.get_payment(buyer, payment_id)
    assert waiting.state == payment_pb2.PAYMENT_STATE_ACTION_REQUIRED
    assert waiting.action.redirect_url == refusal.value.metadata["actionUrl"]
    with pytest.raises(PaymentActionRequired):
        await market.confirm(buyer, payment_id, "action", request_id)
    await market.sandbox.complete_action(f"order:{group.order_group_id}:attempt:1")
    assert (await market.confirm(buyer, payment_id, "action", request_id)).state == CAPTURED


async def test_another_method_settles_the_action_that_waits_before_it_charges(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    with pytest.raises(PaymentActionRequired):
        await market.confirm(buyer, group.payment.payment_id, "action")
    assert (await market.confirm(buyer, group.payment.payment_id, "ok")).state == CAPTURED
    await market.sandbox.complete_action(f"order:{group.order_group_id}:attempt:1")
    assert sorted(state for state, _, _ in await _charges(market)) == ["CANCELLED", "CAPTURED"]
    assert await market.violations() == []


async def test_a_completed_action_is_found_by_the_reconciler(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    with pytest.raises(PaymentActionRequired):
        await market.confirm(buyer, group.payment.payment_id, "action")
    await market.run_jobs(ahead=timedelta(seconds=20))
    await market.sandbox.complete_action(f"order:{group.order_group_id}:attempt:1")
    await market.run_jobs(ahead=timedelta(seconds=60))
    assert (await market.get_payment(buyer, group.payment.payment_id)).state == CAPTURED


@pytest.mark.parametrize("before", [True, False])
async def test_killed_around_the_capture_a_retry_goes_on_with_the_same_attempt(market: Market, before: bool) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    worker = market.on(market.tx, DyingProvider(market.sandbox, before=before))
    request_id = str(uuid4())
    with pytest.raises(Died):
        await worker.confirm(buyer, group.payment.payment_id, request_id=request_id)
    assert (await market.get_payment(buyer, group.payment.payment_id)).state == payment_pb2.PAYMENT_STATE_PENDING
    first = await worker.confirm(buyer, group.payment.payment_id, request_id=request_id)
    assert first.state == CAPTURED
    assert await worker.confirm(buyer, group.payment.payment_id, request_id=request_id) == first
    assert len(await _charges(market)) == 1
    assert await market.value("SELECT count(*) FROM payment_attempts") == 1


@pytest.mark.parametrize("before", [True, False])
async def test_killed_around_the_capture_the_reconciler_finishes_and_a_retry_agrees(
    market: Market, before: bool
) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    worker = market.on(market.tx, DyingProvider(market.sandbox, before=before))
    request_id = str(uuid4())
    with pytest.raises(Died):
        await worker.confirm(buyer, group.payment.payment_id, request_id=request_id)
    await market.run_jobs(ahead=timedelta(seconds=20))
    assert (await market.get(buyer, group.orders[0].order_id)).state == order_pb2.ORDER_STATE_PAID
    assert (await market.confirm(buyer, group.payment.payment_id, request_id=request_id)).state == CAPTURED
    assert len(await _charges(market)) == 1


async def test_a_provider_that_does_not_answer_leaves_the_payment_pending_until_reconciled(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    worker = market.on(market.tx, SilentProvider(market.sandbox))
    assert (await worker.confirm(buyer, group.payment.payment_id)).state == payment_pb2.PAYMENT_STATE_PENDING
    with pytest.raises(RequestInProgress):
        await worker.confirm(buyer, group.payment.payment_id)
    await market.run_jobs(ahead=timedelta(seconds=20))
    assert (await market.get_payment(buyer, group.payment.payment_id)).state == CAPTURED


async def test_an_attempt_left_behind_is_settled_before_another_begins(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    worker = market.on(market.tx, DyingProvider(market.sandbox, before=True))
    with pytest.raises(Died):
        await worker.confirm(buyer, group.payment.payment_id)
    # The call that began it may go on for all of its five seconds, and its clock may be another machine's.
    market.clock.ahead = timedelta(seconds=9)
    with pytest.raises(RequestInProgress):
        await market.confirm(buyer, group.payment.payment_id)
    market.clock.ahead = timedelta(seconds=11)
    assert (await market.confirm(buyer, group.payment.payment_id)).state == CAPTURED
    # Whoever still sends the first attempt is too late.
    late = await market.sandbox.confirm(
        Charge(f"order:{group.order_group_id}:attempt:1", Money(1_490, "EUR"), "ok", "")
    )
    assert late.state is AttemptState.CANCELLED
    assert await market.violations() == []


async def test_payments_of_others_are_not_found(market: Market) -> None:
    buyer, stranger, variant = await market.buyer(), await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    for payment_id in (group.payment.payment_id, str(uuid4())):
        with pytest.raises(NotFound):
            await market.get_payment(stranger, payment_id)
        with pytest.raises(NotFound):
            await market.confirm(stranger, payment_id)
    for role in (Role.ADMIN, Role.SERVICE):
        seen = await market.get_payment(caller_of(uuid4(), role), group.payment.payment_id)
        assert seen.buyer_id == str(buyer.known_user_id)


async def test_another_payment_cancels_the_one_before(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    request = payment_service_pb2.CreatePaymentRequest(request_id=str(uuid4()), order_group_id=group.order_group_id)
    answer = await market.call(buyer, market.payments.CreatePayment, request)
    second = payment_service_pb2.CreatePaymentResponse.FromString(stored(answer)).payment
    with pytest.raises(PaymentOver):
        await market.confirm(buyer, group.payment.payment_id)
    assert (await market.get(buyer, group.orders[0].order_id)).payment_id == second.payment_id
    assert (await market.confirm(buyer, second.payment_id)).state == CAPTURED
    request.request_id = str(uuid4())
    with pytest.raises(IllegalTransition) as refusal:
        await market.call(buyer, market.payments.CreatePayment, request)
    assert refusal.value.metadata["current"] == "CAPTURED"


async def test_twenty_refunds_of_a_tenth_at_once_give_back_exactly_ten(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop(), price_minor=9_510)
    group = await market.paid(buyer, (variant, 1))
    assert minor(group.total) == 10_000
    order_id = group.orders[0].order_id
    results = await asyncio.gather(
        *(
            (market, other)[n % 2].refund(market.admin, group.payment.payment_id, order_id=order_id, minor=1_000)
            for n in range(20)
        ),
        return_exceptions=True,
    )
    done = [result for result in results if isinstance(result, payment_service_pb2.RefundPaymentResponse)]
    assert len(done) == 10
    assert all(isinstance(result, ValidationFailed | IllegalTransition) for result in results if result not in done)
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert minor(payment.refunded_amount) == 10_000
    assert len(payment.refunds) == 10
    assert await _charges(market) == [("CAPTURED", 10_000, 10_000)]
    assert await market.violations() == []


async def test_a_seller_refunds_its_own_order_and_no_more(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    group = await market.paid(buyer, (await market.variant(one), 1), (await market.variant(two), 1))
    own = next(order for order in group.orders if order.seller_id == str(one.seller_id))
    foreign = next(order for order in group.orders if order.seller_id == str(two.seller_id))
    payment_id = group.payment.payment_id
    with pytest.raises(ValidationFailed):
        await market.refund(one.caller, payment_id)
    for order_id in (foreign.order_id, str(uuid4())):
        with pytest.raises(NotFound) as refusal:
            await market.refund(one.caller, payment_id, order_id=order_id)
        assert refusal.value.metadata == {"resource": "payment", "id": payment_id}
    with pytest.raises(NotFound):
        await market.refund(one.caller, str(uuid4()), order_id=own.order_id)
    with pytest.raises(ValidationFailed):
        await market.refund(one.caller, payment_id, order_id=own.order_id, minor=1_491)
    response = await market.refund(one.caller, payment_id, order_id=own.order_id, minor=490)
    assert response.refund.state == payment_pb2.REFUND_STATE_SUCCEEDED
    assert not response.HasField("payment")
    rest = await market.refund(one.caller, payment_id, order_id=own.order_id)
    assert minor(rest.refund.amount) == 1_000
    with pytest.raises(IllegalTransition):
        await market.refund(one.caller, payment_id, order_id=own.order_id)
    assert minor((await market.get(buyer, own.order_id)).refunded_amount) == 1_490
    assert minor((await market.get(buyer, foreign.order_id)).refunded_amount) == 0
    assert await market.value("SELECT count(*) FROM audit_entries WHERE resource_type = 'payment'") == 2
    assert await market.violations() == []


async def test_an_admin_refunds_a_whole_group(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    group = await market.paid(buyer, (await market.variant(one), 1), (await market.variant(two), 2))
    response = await market.refund(market.admin, group.payment.payment_id)
    assert minor(response.refund.amount) == minor(group.total) == minor(response.payment.refunded_amount)
    assert response.payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert await market.violations() == []


@pytest.mark.parametrize("before", [True, False])
async def test_killed_around_a_refund_it_is_given_back_once(market: Market, before: bool) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.paid(buyer, (variant, 1))
    worker = market.on(market.tx, DyingProvider(market.sandbox, before=before))
    request_id, payment_id, order_id = str(uuid4()), group.payment.payment_id, group.orders[0].order_id
    with pytest.raises(Died):
        await worker.refund(market.admin, payment_id, order_id=order_id, minor=300, request_id=request_id)
    await market.run_jobs(ahead=timedelta(seconds=20))
    again = await worker.refund(market.admin, payment_id, order_id=order_id, minor=300, request_id=request_id)
    assert again.refund.state == payment_pb2.REFUND_STATE_SUCCEEDED
    assert await _charges(market) == [("CAPTURED", 1_490, 300)]
    with pytest.raises(RequestIdReused):
        await worker.refund(market.admin, payment_id, order_id=order_id, minor=301, request_id=request_id)
    assert await market.violations() == []


async def test_unpaid_money_cannot_be_refunded(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    with pytest.raises(IllegalTransition):
        await market.refund(market.admin, group.payment.payment_id)


async def test_attempts_without_a_job_are_swept(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    worker = market.on(market.tx, DyingProvider(market.sandbox))
    with pytest.raises(Died):
        await worker.confirm(buyer, group.payment.payment_id)
    await market.execute("DELETE FROM jobs")
    assert await market.confirmer.sweep() == 0, "somebody may be asking the provider"
    market.clock.ahead = timedelta(minutes=5)
    (looks,) = market.built.slices["payment"].background
    looking = asyncio.create_task(looks())
    async with asyncio.timeout(30):
        while not await market.value("SELECT count(*) FROM jobs"):  # noqa: ASYNC110 - the look tells nobody
            await asyncio.sleep(0.01)
    looking.cancel()
    await market.run_jobs()
    assert (await market.get_payment(buyer, group.payment.payment_id)).state == CAPTURED
